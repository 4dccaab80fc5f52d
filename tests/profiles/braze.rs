//! The page "REST API Key Overview" of `braze`, sentence by sentence.

mod app_identifiers;
mod old_ways;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::{
    harness::{ApiKey, Jeton, Request, Tenant},
    product::Product,
    proxy::Kind,
};

/// The page's tables: each permission, and how its endpoint is called.
const PERMISSIONS: [(&str, &str); 63] = [
    ("users.track", "POST"),
    ("users.delete", "POST"),
    ("users.alias.new", "POST"),
    ("users.identify", "POST"),
    ("users.export.ids", "GET"),
    ("users.export.segment", "GET"),
    ("users.external_ids.rename", "POST"),
    ("users.external_ids.remove", "POST"),
    ("email.unsubscribe", "POST"),
    ("email.status", "POST"),
    ("email.hard_bounces", "POST"),
    ("email.bounce.remove", "POST"),
    ("email.spam.remove", "POST"),
    ("email.blacklist", "POST"),
    ("messages.send", "POST"),
    ("messages.schedule.create", "POST"),
    ("messages.schedule.update", "POST"),
    ("messages.schedule.delete", "POST"),
    ("messages.schedule_broadcasts", "POST"),
    ("campaigns.trigger.send", "POST"),
    ("campaigns.trigger.schedule.create", "POST"),
    ("campaigns.trigger.schedule.update", "POST"),
    ("campaigns.trigger.schedule.delete", "POST"),
    ("campaigns.list", "GET"),
    ("campaigns.data_series", "GET"),
    ("campaigns.details", "GET"),
    ("sends.data_series", "GET"),
    ("sends.id.create", "POST"),
    ("canvas.trigger.send", "POST"),
    ("canvas.trigger.schedule.create", "POST"),
    ("canvas.trigger.schedule.update", "POST"),
    ("canvas.trigger.schedule.delete", "POST"),
    ("canvas.list", "GET"),
    ("canvas.data_series", "GET"),
    ("canvas.details", "GET"),
    ("canvas.data_summary", "POST"),
    ("segments.list", "GET"),
    ("segments.data_series", "GET"),
    ("segments.details", "GET"),
    ("purchases.product_list", "GET"),
    ("purchases.revenue_series", "GET"),
    ("purchases.quantity_series", "GET"),
    ("events.list", "GET"),
    ("events.data_series", "GET"),
    ("feed.list", "GET"),
    ("feed.data_series", "GET"),
    ("feed.details", "GET"),
    ("sessions.data_series", "GET"),
    ("kpi.mau.data_series", "GET"),
    ("kpi.dau.data_series", "GET"),
    ("kpi.new_users.data_series", "GET"),
    ("kpi.uninstalls.data_series", "GET"),
    ("templates.email.create", "POST"),
    ("templates.email.update", "POST"),
    ("templates.email.info", "GET"),
    ("templates.email.list", "GET"),
    ("sso.saml.login", "POST"),
    ("content_blocks.info", "GET"),
    ("content_blocks.list", "GET"),
    ("content_blocks.create", "POST"),
    ("subscription.status.set", "POST"),
    ("subscription.status.get", "POST"),
    ("subscription.groups.get", "POST"),
];

/// The product, and an app group in it.
fn braze(jeton: Jeton) -> (Product, Tenant) {
    let product = Product::start(jeton, "braze");
    let tenant = product.tenant();
    (product, tenant)
}

/// The endpoint of a permission.
fn endpoint(permission: &str) -> String {
    format!("/{}", permission.replace('.', "/"))
}

fn track(product: &Product, key: &ApiKey) -> Request {
    product.post("/users/track").bearer(&key.key)
}

/// > A REST API key is a unique code that is passed into an API to authenticate the API call and identify the calling
/// > application or user.
#[both_databases]
fn a_key_authenticates_the_call_and_names_the_caller(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let keys = [(); 3].map(|()| tenant.api_key(["users.track"]));
    for key in &keys {
        assert!(key.key.starts_with("brz_live_"), "{}", key.key);
        assert_eq!(product.admits(track(&product, key)).jwt.text("sub"), key.id);
        assert_eq!(keys.iter().filter(|other| other.key == key.key).count(), 1, "it is unique");
    }
    for (permission, method) in PERMISSIONS {
        let refused = product.refuses(product.call(method, endpoint(permission)), 401, "invalid_api_key");
        refused.expect_detail("Invalid or expired API key");
    }
    product.refuses(
        track(&product, &keys[0].forged("brz_live_00000000000000000000000000000000")),
        401,
        "invalid_api_key",
    );
}

/// > App Groups and API Keys go hand in hand at Braze. ... these app groups ... have their own REST API keys.
#[both_databases]
fn a_key_names_its_app_group(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let other = product.tenant();
    for own in [&tenant, &other] {
        let key = own.api_key(["users.track"]);
        let admitted = product.admits(track(&product, &key));
        assert_eq!(admitted.jwt.text("tenant_id"), own.id);
        assert_eq!(admitted.request.header("X-Tenant-ID"), Some(&*own.id), "nobody said it but the key");
        product.jeton.post("/api/v1/auth/exchange").bearer(&key.key).send().expect_tokens();
    }

    let key = tenant.api_key(["users.track"]);
    product.admits(track(&product, &key).tenant(&tenant.id));
    product.refuses(track(&product, &key).tenant(&other.id), 403, "tenant_mismatch");
    product.refuses(track(&product, &key).tenant("acme"), 400, "tenant_required");
}

/// > These keys can be individually scoped to include access to specific endpoints on the API. Each call to the API must
/// > include a key with access to the endpoint hit. ... you can limit exactly which calls an API Key can authenticate.
#[both_databases]
fn each_permission_opens_its_endpoint_and_no_other(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    // An app group has 100 keys at most.
    let other = product.tenant();
    for (permission, method) in PERMISSIONS {
        let call = |method: &str, key: &ApiKey| product.call(method, endpoint(permission)).bearer(&key.key);
        let exact = tenant.api_key([permission]);
        assert_eq!(product.admits(call(method, &exact)).jwt.text("scope"), permission);
        product.refuses(call("DELETE", &exact), 403, "endpoint_not_listed");

        let others: Vec<_> = PERMISSIONS.iter().map(|(other, _)| *other).filter(|other| *other != permission).collect();
        let refused =
            product.refuses(call(method, &other.api_key_with(json!({"scopes": others}))), 403, "insufficient_scope");
        refused.expect_detail(&format!("API key missing required scope: {permission}"));
    }
}

/// > API key permissions are permissions you can assign ... (The tables have 63.)
#[both_databases]
fn there_are_no_permissions_but_those_of_the_page(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let all = tenant.api_key(PERMISSIONS.map(|(permission, _)| permission));
    assert_eq!(all.exchange().expect_tokens().text("scope").split(' ').count(), 63);
    for (permission, method) in PERMISSIONS {
        product.admits(product.call(method, endpoint(permission)).bearer(&all.key));
    }
    for unknown in ["users.track.all", "messages.delete", "users:track", "api-keys:write"] {
        tenant.admin().create_api_key(json!({"scopes": [unknown]})).expect_field("scopes");
    }
    for pattern in ["users", "users.*", "*"] {
        tenant.admin().create_api_key(json!({"scopes": [pattern]})).expect_field("scopes[0]");
    }
    for unknown in ["/", "/users", "/users/track/all", "/Users/track", "/users.track", "/messages/delete"] {
        product.refuses(product.post(unknown).bearer(&all.key), 403, "endpoint_not_listed");
    }
    product.jeton.get(tenant.path("api-keys")).bearer(&all.token()).send().expect_status(403);
}

/// > you will find the "REST API Keys" section. Here we list all of your available REST API/App Group API Keys as well as
/// > give you options to create new API keys.
#[both_databases]
fn keys_are_listed_and_created(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    product.tenant().api_key(["users.track"]);
    let body = json!({"name": "Track", "scopes": ["users.track", "messages.send"], "allowed_ips": ["203.0.113.0/24"]});
    let made = [tenant.api_key(["users.delete"]), tenant.api_key_with(body)];

    let listed = tenant.admin().get(tenant.path("api-keys")).expect_status(200);

    let text = String::from_utf8_lossy(&listed.body).into_owned();
    for key in &made {
        assert!(!text.contains(key.key.trim_start_matches("brz_live_")), "without the key itself: {text}");
    }
    let items = listed.items();
    assert_eq!(items.iter().map(|item| &item["id"]).collect::<Vec<_>>(), [&made[1].id, &made[0].id], "its own alone");
    assert_eq!((&items[0]["name"], &items[0]["state"]), (&json!("Track"), &json!("active")));
    assert_eq!(items[0]["scopes"], json!(["users.track", "messages.send"]));
    assert_eq!(items[0]["allowed_ips"], json!(["203.0.113.0/24"]));
}

/// > API keys are now set with the HTTP Authorization request header, making your API keys more secure.
#[both_databases]
fn a_key_is_read_in_the_authorization_header_alone(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let key = tenant.api_key(["users.track"]);
    let call = || product.post("/users/track");

    let admitted = product.admits(call().bearer(&key.key));
    assert!(!admitted.request.contains(&key.key), "the API does not get it: {:?}", admitted.request);

    product.refuses(call().header("X-API-Key", &key.key), 401, "invalid_api_key");
    product.refuses(call().header("api_key", &key.key), 401, "invalid_api_key");
    product.refuses(call().header("Authorization", &key.key), 401, "invalid_api_key");
    product.refuses(call().header("Authorization", &format!("Token {}", key.key)), 401, "invalid_api_key");
    product.refuses(call().basic(&key.id, &key.key), 401, "invalid_api_key");
}

/// > once you create a new API Key, you cannot edit the scope of permissions or the whitelisted IPs. This limitation is in
/// > place for security reasons.
#[both_databases]
fn permissions_and_addresses_are_never_edited(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let (admin, allowed) = (tenant.admin(), json!(["127.0.0.1/32"]));
    let key = tenant.api_key_with(json!({"scopes": ["users.track"], "allowed_ips": allowed}));
    let before = admin.get(key.path()).expect_status(200).json();
    let edits = [
        json!({"scopes": ["users.track", "users.delete"]}),
        json!({"scopes": ["users.track"]}),
        json!({"scopes": []}),
        json!({"scopes": null}),
        json!({"allowed_ips": ["0.0.0.0/0"]}),
        json!({"allowed_ips": allowed}),
        json!({"allowed_ips": []}),
        json!({"allowed_ips": null}),
        json!({"name": "New", "scopes": ["users.delete"]}),
        json!({"name": "New", "allowed_ips": []}),
    ];
    for edit in edits {
        admin.patch(key.path(), edit).expect_problem(422, "immutable_field");
    }
    assert_eq!(admin.get(key.path()).expect_status(200).json(), before);
    product.admits(track(&product, &key));
    product.refuses(product.post("/users/delete").bearer(&key.key), 403, "insufficient_scope");
    // Nor does a rotation.
    let edit = json!({"scopes": ["users.delete"]});
    admin.rotate(&key, edit).expect_field("scopes");
    let successor = admin.rotate(&key, json!({})).expect_status(201).json();
    assert_eq!((&successor["scopes"], &successor["allowed_ips"]), (&before["scopes"], &before["allowed_ips"]));
}

/// > ... the whitelisted IPs
#[both_databases]
fn a_key_is_used_from_its_addresses_alone(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let limited = |allowed: Value| tenant.api_key_with(json!({"scopes": ["users.track"], "allowed_ips": allowed}));
    for allowed in [
        json!([]),
        json!(["127.0.0.1"]),
        json!(["127.0.0.1/32"]),
        json!(["203.0.113.0/24", "127.0.0.0/8"]),
        json!(["::ffff:127.0.0.1"]),
        json!(["::ffff:127.0.0.0/104"]),
    ] {
        product.admits(track(&product, &limited(allowed)));
    }
    for foreign in
        [json!(["203.0.113.0/24"]), json!(["127.0.0.2/32", "::1"]), json!(["::ffff:203.0.113.0/120"]), json!(["::/0"])]
    {
        let key = limited(foreign);
        product.refuses(track(&product, &key), 403, "ip_not_allowed");
        key.exchange().expect_problem(403, "ip_not_allowed");
    }
    for nonsense in ["localhost", "127.0.0.1/33", "127.0.0", ""] {
        tenant.admin().create_api_key(json!({"allowed_ips": [nonsense]})).expect_status(422);
    }
}

/// What a client says of its own address opens nothing: nginx writes the true one behind it.
#[both_databases]
fn an_address_is_not_a_matter_of_words(jeton: Jeton) {
    let Some(product) = Product::behind(Kind::Nginx, &jeton, "braze") else { return };
    let tenant = product.tenant();
    let limited = |allowed: &str| tenant.api_key_with(json!({"scopes": ["users.track"], "allowed_ips": [allowed]}));
    let (own, foreign) = (limited("127.0.0.2"), [limited("203.0.113.0/24"), limited("127.0.0.1/32")]);
    // From an address that is not the proxy's, for what a trusted proxy says is believed.
    let call = |key: &ApiKey, said: &str| {
        let bearer = format!("Authorization: Bearer {}", key.key);
        product.curl("/users/track", &["-X", "POST", "--interface", "127.0.0.2", "-H", &bearer, "-H", said])
    };
    for address in ["203.0.113.9", "127.0.0.1", "203.0.113.9, 127.0.0.1", "::ffff:203.0.113.9"] {
        for header in ["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP"] {
            let said = format!("{header}: {address}");
            assert_eq!(call(&own, &said)["upstream"], 200, "{said}");
            for key in &foreign {
                assert_eq!(call(key, &said)["code"], "ip_not_allowed", "{said}");
            }
        }
    }
    for key in &foreign {
        assert_eq!(call(key, "Forwarded: for=203.0.113.9")["code"], "ip_not_allowed");
    }
}

/// > If you need to change the scope of a key, create a new key with the updated permissions and implement that key in
/// > place of the old one. Once you've completed your implementation, go ahead and delete the old key.
#[both_databases]
fn a_new_key_takes_the_place_of_the_old_one(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let old = tenant.api_key(["users.track"]);
    let send = |key: &ApiKey| product.post("/messages/send").bearer(&key.key);
    product.refuses(send(&old), 403, "insufficient_scope");

    let new = tenant.api_key(["users.track", "messages.send"]);
    product.admits(send(&new));
    product.admits(track(&product, &old));

    tenant.admin().revoke(&old).expect_status(204);
    product.refuses(track(&product, &old), 401, "invalid_api_key");
    product.admits(track(&product, &new));
}
