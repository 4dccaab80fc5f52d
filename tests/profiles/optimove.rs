//! The page "Generating API Keys" of `optimove`, sentence by sentence.

mod practices;

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::{
    harness::{ApiKey, Jeton, Request, Tenant},
    product::Product,
};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The calls that third parties may make.
const LISTED: [(&str, &str); 8] = [
    ("GET", "/current/integrations"),
    ("GET", "/current/integrations/templates"),
    ("POST", "/current/integrations/templates"),
    ("PUT", "/current/integrations/templates/7"),
    ("PATCH", "/current/integrations/templates/7"),
    ("DELETE", "/current/integrations/templates/7"),
    ("GET", "/current/customers"),
    ("GET", "/current/customers/segments/7"),
];

/// All the rest, the transactional ones too.
const OTHERS: [(&str, &str); 8] = [
    ("GET", "/current/general/version"),
    ("POST", "/current/customers"),
    ("DELETE", "/current/customers/7"),
    ("GET", "/current/campaigns/7"),
    ("POST", "/current/transactional/send"),
    ("GET", "/current/transactional/status/7"),
    ("GET", "/current/integration"),
    ("GET", "/current"),
];

/// The product, and a customer of it.
fn optimove(jeton: Jeton) -> (Product, Tenant) {
    let product = Product::start(jeton, "optimove");
    let tenant = product.tenant();
    (product, tenant)
}

/// What a key of this access type is asked for with.
fn wanted(access_type: &str, members: Value) -> Value {
    let mut body = json!({"name": "Acme Push", "contact_email": "ada@example.com", "access_type": access_type});
    for (member, value) in members.as_object().expect("an object") {
        body[member] = value.clone();
    }
    body
}

#[track_caller]
fn key_of(tenant: &Tenant, access_type: &str) -> ApiKey {
    tenant.api_key_with(wanted(access_type, json!({})))
}

/// A call with the key in the request's header.
fn call(product: &Product, (method, path): (&str, &str), key: &ApiKey) -> Request {
    product.call(method, path).header("X-API-Key", &key.key)
}

/// > API requests are authenticated using API Keys.
#[both_databases]
fn no_request_passes_without_a_key(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    for (method, path) in LISTED.into_iter().chain(OTHERS) {
        let refused = product.refuses(product.call(method, path), 401, "invalid_api_key");
        refused.expect_detail("Invalid or expired API key");
    }
    // A person's token is no API key: every call is for certain access types.
    let person = product.get("/current/customers").bearer(tenant.admin().token());
    product.refuses(person, 403, "access_type_not_allowed");
}

/// > An API key is a code that is passed in ... to identify the calling program and to provide access to the resources
/// > that the caller is authorized to use.
#[both_databases]
fn a_key_names_the_caller_and_its_tenant(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let other = product.tenant();
    for own in [&tenant, &other] {
        let key = key_of(own, "integrations");
        let jwt = product.admits(call(&product, LISTED[0], &key)).jwt;
        assert_eq!((jwt.text("sub"), jwt.text("tenant_id")), (&*key.id, &*own.id), "nobody said it but the key");
        assert_eq!(jwt.text("access_type"), "integrations");
    }
    let key = key_of(&tenant, "admin");
    product.admits(call(&product, LISTED[0], &key).tenant(&tenant.id));
    product.refuses(call(&product, LISTED[0], &key).tenant(&other.id), 403, "tenant_mismatch");
}

/// > By using API keys, we can easily revoke access to a specific application without impacting other applications.
#[both_databases]
fn a_revoked_application_impacts_no_other(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let keys = ["integrations", "integrations", "admin"].map(|access_type| key_of(&tenant, access_type));

    tenant.admin().revoke(&keys[0]).expect_status(204);

    product.refuses(call(&product, LISTED[0], &keys[0]), 401, "invalid_api_key");
    for other in &keys[1..] {
        product.admits(call(&product, LISTED[0], other));
    }
}

/// > Using an API Key does not require a preliminary request to the /login endpoint. By embedding the key in the request
/// > header, the user is "always logged in".
#[both_databases]
fn a_key_is_always_logged_in(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "admin");
    for years in 0..3 {
        let admitted = product.admits(call(&product, OTHERS[0], &key));
        assert_eq!(admitted.answer.header("Set-Cookie"), None, "after {years} years");
        product.jeton.advance(Duration::from_hours(24 * 365));
    }
    for access_type in ["admin", "integrations", "transactional"] {
        product.admits(call(&product, LISTED[0], &key_of(&product.tenant(), access_type)));
    }
}

/// The header of the request is `X-API-Key`, and no other; what is behind the proxy never sees it.
#[both_databases]
fn a_key_is_read_in_its_header_alone(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "admin");
    for endpoint in LISTED.into_iter().chain(OTHERS) {
        let request = product.admits(call(&product, endpoint, &key)).request;
        assert!(request.header("X-API-Key").is_none() && !request.contains(&key.key), "{request:?}");
    }
    let plain = || product.get("/current/customers");
    product.refuses(plain().bearer(&key.key), 401, "invalid_api_key");
    product.refuses(plain().basic(&key.id, &key.key), 401, "invalid_api_key");
    product.refuses(plain().header("Authorization", &format!("Token {}", key.key)), 401, "invalid_api_key");
    product.refuses(product.get(format!("/current/customers?api_key={}", key.key)), 401, "invalid_api_key");
    let two = plain().header("X-API-Key", &key.key);
    product.refuses(two.header("X-API-Key", &key.key), 400, "malformed_request");
    product.refuses(plain().header("X-API-Key", &key.key).bearer(&key.key), 400, "malformed_request");
}

/// > As an admin user, go to the Settings page ... Click the "+ New API Key" button
#[both_databases]
fn admin_users_make_keys(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    tenant.admin().create_api_key(wanted("integrations", json!({}))).expect_status(201);
    let member = tenant.user("member").create_api_key(wanted("integrations", json!({})));
    member.expect_problem(403, "insufficient_scope");
}

/// > Select a "Nickname" - an identifiable name ... Fill in your Contact Email
#[both_databases]
fn a_key_has_a_nickname_and_a_contact(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    let (admin, keys) = (tenant.admin(), tenant.path("api-keys"));
    let without = |member: &str| {
        let mut body = wanted("admin", json!({}));
        body.as_object_mut().expect("an object").remove(member);
        admin.post(&keys, body)
    };
    for member in ["name", "contact_email"] {
        without(member).expect_field(member);
        admin.post(&keys, wanted("admin", json!({member: null}))).expect_status(422);
        admin.post(&keys, wanted("admin", json!({member: ""}))).expect_field(member);
    }
    admin.post(&keys, wanted("admin", json!({"contact_email": "nobody"}))).expect_field("contact_email");
    assert!(admin.get(&keys).items().is_empty(), "none was made");

    let made = admin.post(&keys, wanted("admin", json!({}))).expect_status(201);
    assert_eq!((&*made.text("name"), &*made.text("contact_email")), ("Acme Push", "ada@example.com"));
}

/// Both are there for as long as the key is.
#[both_databases]
fn a_key_keeps_a_nickname_and_a_contact(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    let (admin, key) = (tenant.admin(), key_of(&tenant, "admin"));
    let other = json!({"name": "Acme SMS", "contact_email": "grace@example.com"});
    let changed = admin.patch(key.path(), other).expect_status(200);
    assert_eq!((&*changed.text("name"), &*changed.text("contact_email")), ("Acme SMS", "grace@example.com"));

    admin.patch(key.path(), json!({"name": ""})).expect_field("name");
    admin.patch(key.path(), json!({"contact_email": null})).expect_field("contact_email");
}

/// > Select an Access Type ... There are three options for Access Type
#[both_databases]
fn a_key_has_one_of_three_access_types(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    let admin = tenant.admin();
    let none = json!({"contact_email": "ada@example.com"});
    admin.create_api_key(none).expect_field("access_type");
    for unknown in ["private", "member", "owner"] {
        admin.create_api_key(wanted(unknown, json!({}))).expect_field("access_type");
    }
    for access_type in ["admin", "integrations", "transactional"] {
        let made = admin.create_api_key(wanted(access_type, json!({}))).expect_status(201);
        assert_eq!(made.text("access_type"), access_type);
        let path = made.into_key(&tenant).path();
        admin.patch(path, json!({"access_type": "admin"})).expect_problem(422, "immutable_field");
    }
}

/// > You will then be provided with a unique API key that will be used for authentication purposes.
#[both_databases]
fn a_key_is_unique_and_shown_once(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    let keys = [(); 3].map(|()| key_of(&tenant, "admin"));
    let listed = tenant.admin().get(tenant.path("api-keys")).expect_status(200);
    for (number, key) in keys.iter().enumerate() {
        let random = key.key.strip_prefix("opt_live_").expect("the prefix");
        assert!(!keys[..number].iter().any(|other| other.key == key.key));
        assert!(!String::from_utf8_lossy(&listed.body).contains(random), "{}", listed.told());
    }
}

/// > Admin: A full permitted user, permitted to access any of the API calls and all of Optimove's API available functions
#[both_databases]
fn an_admin_key_calls_everything(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "admin");
    for (_, path) in LISTED.into_iter().chain(OTHERS) {
        for method in METHODS {
            product.admits(call(&product, (method, path), &key));
        }
    }
    product.refuses(call(&product, ("GET", "/previous/customers"), &key), 403, "endpoint_not_listed");

    let scopes = json!({"scopes": ["api-keys:read", "api-keys:write"]});
    let token = tenant.api_key_with(wanted("admin", scopes.clone())).token();
    let keys = tenant.path("api-keys");
    product.jeton.get(&keys).bearer(&token).send().expect_status(200);
    product.jeton.post(&keys).bearer(&token).json(wanted("integrations", json!({}))).expect_status(201);
    for limited in ["integrations", "transactional"] {
        tenant.admin().create_api_key(wanted(limited, scopes.clone())).expect_field("scopes");
        let refused = product.jeton.get(&keys).bearer(&key_of(&tenant, limited).token()).send();
        refused.expect_problem(403, "access_type_not_allowed");
    }
}

/// > Integrations - for 3rd Party User: Third-party keys are limited in access permissions. Only a part of the API calls
/// > are available.
#[both_databases]
fn an_integrations_key_calls_what_is_listed(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "integrations");
    for endpoint in LISTED {
        product.admits(call(&product, endpoint, &key));
    }
    for endpoint in OTHERS {
        product.refuses(call(&product, endpoint, &key), 403, "access_type_not_allowed");
    }
    for method in &METHODS[1..] {
        product.refuses(call(&product, (method, "/current/customers/7"), &key), 403, "access_type_not_allowed");
    }
}

/// > Within the available ones, only certain attributes can be limited to be shared with the 3rd Party provider.
/// > Additionally, only specific channels can be enabled to a certain CID.
#[both_databases]
fn attributes_and_channels_travel_to_the_api(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    for chosen in [
        json!({"attributes": ["age", "country"], "channels": ["email", "sms"]}),
        json!({"attributes": ["age"]}),
        json!({"channels": ["push"]}),
    ] {
        let key = tenant.api_key_with(wanted("integrations", json!({"constraints": chosen})));
        for endpoint in LISTED {
            assert_eq!(product.admits(call(&product, endpoint, &key)).jwt.claims["constraints"], chosen);
        }
        let edit = json!({"constraints": {}});
        tenant.admin().patch(key.path(), edit).expect_problem(422, "immutable_field");
        let successor = tenant.admin().rotate(&key, json!({})).expect_status(201).into_key(&tenant);
        assert_eq!(product.admits(call(&product, LISTED[0], &successor)).jwt.claims["constraints"], chosen);
    }

    let colours = json!({"constraints": {"colours": ["red"]}});
    tenant.admin().create_api_key(wanted("integrations", colours)).expect_field("constraints");
    for unlimited in ["admin", "transactional"] {
        let channels = json!({"constraints": {"channels": ["email"]}});
        tenant.admin().create_api_key(wanted(unlimited, channels)).expect_field("constraints");
    }
}

/// > For both limitations, if none is selected, all channels are permitted.
#[both_databases]
fn none_selected_permits_all(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    for none in [
        json!({}),
        json!({"constraints": {}}),
        json!({"constraints": {"channels": []}}),
        json!({"constraints": {"attributes": [], "channels": []}}),
    ] {
        let key = tenant.api_key_with(wanted("integrations", none));
        let jwt = product.admits(call(&product, LISTED[0], &key)).jwt;
        assert!(jwt.claims.get("constraints").is_none(), "no claim: {}", jwt.claims);
    }
    let one = json!({"constraints": {"attributes": [], "channels": ["sms"]}});
    let key = tenant.api_key_with(wanted("integrations", one));
    let jwt = product.admits(call(&product, LISTED[0], &key)).jwt;
    assert_eq!(jwt.claims["constraints"], json!({"channels": ["sms"]}));
}

/// > Transactional API User: provides access to all endpoints, including the "transactional" functionality.
#[both_databases]
fn a_transactional_key_calls_all_endpoints(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "transactional");
    for (_, path) in LISTED.into_iter().chain(OTHERS) {
        for method in METHODS {
            let admitted = product.admits(call(&product, (method, path), &key));
            assert_eq!(admitted.jwt.text("access_type"), "transactional");
        }
    }
}
