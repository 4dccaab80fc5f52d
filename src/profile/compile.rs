//! From what a file says to a [`Profile`]: everything that it names must be there, and nothing may be ambiguous.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime};
use toml::de::DeTable;
use toml::value::Datetime;

use super::access_type::AccessType;
use super::endpoints::{Endpoint, EndpointTable};
use super::error::{Fault, Key, Step};
use super::file::{AccessTypeRow, DeprecatedRow, EndpointRow, LimitsTable, Methods, PlanRow, ProfileFile, ScopeRow};
use super::key_location::{DeprecatedLocation, KeyForm, KeyLocation, OldLocation};
use super::plans::{Limits, Plan, Plans};
use super::roles::{MANAGEMENT, OPERATOR_SCOPE, Roles};
use super::{Profile, ProfileError, ScopeInfo, TenantLocator};
use crate::domain::distinct::first_repeated;
use crate::domain::key_format::KeyFormat;
use crate::domain::original_request::Method;
use crate::domain::word::{AccessTypeName, Role};
use crate::domain::{Scope, Scopes, Timestamp};

/// Reads a profile. The first thing that is wrong is told with its line.
///
/// # Errors
/// [`ProfileError::Fault`].
pub(super) fn compile(text: &str, path: &Path) -> Result<Profile, ProfileError> {
    let fault_at = |offset: usize, key: String, message: String| ProfileError::Fault {
        path: path.to_owned(),
        line: 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count(),
        key,
        message,
    };
    let syntax = |error: toml::de::Error| {
        fault_at(error.span().map_or(0, |span| span.start), String::new(), error.message().to_owned())
    };
    let table = DeTable::parse(text).map_err(syntax)?;
    let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
    let file: ProfileFile = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = key_of(error.path());
        let offset = error.inner().span().map_or_else(|| key.offset_in(table.get_ref()), |span| span.start);
        fault_at(offset, key.to_string(), error.inner().message().to_owned())
    })?;
    profile(file).map_err(|Fault { at, message }| fault_at(at.offset_in(table.get_ref()), at.to_string(), message))
}

fn key_of(path: &serde_path_to_error::Path) -> Key {
    use serde_path_to_error::Segment;
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Position(*index)),
        Segment::Map { key } => Some(Step::Name(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    Key(path.iter().filter_map(step).collect())
}

fn profile(file: ProfileFile) -> Result<Profile, Fault> {
    let ProfileFile { name, description, key, tenant, scopes, roles, access_types, limits, plans, endpoints, console } =
        file;
    if key.environments.is_empty() {
        return Err(Key::of("key").name("environments").fault("must name one environment at least"));
    }
    ensure_distinct(&key.environments, || Key::of("key").name("environments"))?;
    ensure_locations(&key.read_from, key.form, &Key::of("key"))?;
    ensure_distinct(&key.required, || Key::of("key").name("required"))?;

    let access_types = access_types
        .into_iter()
        .map(|(name, row)| access_type(&name, row, key.form, &key.read_from))
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    let mut held = declared_roles(roles)?;
    let catalogue = scopes.map(|rows| catalogue(rows, &access_types, &mut held)).transpose()?;
    Ok(Profile {
        roles: Roles(held.into_iter().map(|(role, scopes)| together(role, &scopes)).collect::<Result<_, _>>()?),
        plans: compile_plans(plans, limits)?,
        deprecated: deprecated(key.deprecated, has_tokens(key.form, &access_types))?,
        endpoints: compile_endpoints(endpoints, tenant.locator, catalogue.as_ref(), &access_types)?,
        locator: tenant.locator,
        key_format: KeyFormat { prefix: key.prefix, environments: key.environments, alphabet: key.alphabet },
        required: key.required,
        locations: locations(&key.read_from, &access_types),
        form: key.form,
        read_from: key.read_from,
        name,
        description,
        console,
        access_types,
        catalogue,
    })
}

fn parse<T: FromStr<Err: Display>>(text: &str, at: impl FnOnce() -> Key) -> Result<T, Fault> {
    text.parse().map_err(|error| at().fault(error))
}

fn ensure_distinct<T: PartialEq>(items: &[T], at: impl FnOnce() -> Key) -> Result<(), Fault> {
    first_repeated(items).map_or(Ok(()), |(position, _)| Err(at().position(position).fault("is named twice")))
}

/// A secret that has an id is recognised by both: only Basic carries both.
fn ensure_locations(locations: &[KeyLocation], form: KeyForm, at: &Key) -> Result<(), Fault> {
    let key = || at.clone().name("read_from");
    ensure_distinct(locations, key)?;
    if locations.is_empty() {
        return Err(key().fault("must name one location at least"));
    }
    let fits = |location: &KeyLocation| (*location == KeyLocation::Basic) == (form == KeyForm::IdAndSecret);
    let Some(unfit) = locations.iter().position(|location| !fits(location)) else { return Ok(()) };
    Err(key().position(unfit).fault(match form {
        KeyForm::IdAndSecret => "must be `basic`: an id and a secret are read by HTTP Basic",
        KeyForm::Token => "needs `form = \"id_and_secret\"`: HTTP Basic has an id and a secret",
    }))
}

fn access_type(
    name: &str,
    row: AccessTypeRow,
    form: KeyForm,
    read_from: &[KeyLocation],
) -> Result<(AccessTypeName, AccessType), Fault> {
    let at = || Key::of("access_types").name(name);
    let form = row.form.unwrap_or(form);
    let read_from = row.read_from.unwrap_or_else(|| read_from.to_vec());
    ensure_locations(&read_from, form, &at())?;
    ensure_distinct(&row.constraints, || at().name("constraints"))?;
    let name: AccessTypeName = parse(name, at)?;
    let AccessTypeRow { description, management, constraints, .. } = row;
    Ok((name.clone(), AccessType { name, description, management, constraints, form, read_from }))
}

/// Where keys are read: where there are access types every key has one, and the profile's own locations are none.
fn locations(read_from: &[KeyLocation], access_types: &BTreeMap<AccessTypeName, AccessType>) -> Vec<KeyLocation> {
    let mut all: Vec<KeyLocation> = Vec::new();
    let of_types = access_types.values().flat_map(|known| &known.read_from);
    for location in of_types.chain(read_from.iter().filter(|_| access_types.is_empty())) {
        if !all.contains(location) {
            all.push(location.clone());
        }
    }
    all
}

type Held = BTreeMap<Role, Vec<Scope>>;

/// The roles and their scopes of management; what they hold of the product is said by the scopes.
fn declared_roles(rows: BTreeMap<String, super::file::RoleRow>) -> Result<Held, Fault> {
    let all = MANAGEMENT.iter().filter_map(|scope| scope.parse().ok()).collect();
    let mut held = Held::from([(Role::ADMIN, all), (Role::MEMBER, Vec::new())]);
    for (name, row) in rows {
        let at = || Key::of("roles").name(&name);
        let role: Role = parse(&name, at)?;
        let mut scopes = Vec::new();
        for (position, scope) in row.management.iter().enumerate() {
            let at = || at().name("management").position(position);
            if !MANAGEMENT.contains(&scope.as_str()) {
                return Err(at().fault(format!("must be one of {}", MANAGEMENT.join(", "))));
            }
            scopes.push(parse(scope, at)?);
        }
        ensure_distinct(&scopes, || at().name("management"))?;
        if role == Role::ADMIN && !scopes.is_empty() {
            return Err(at().name("management").fault("is not needed: an admin holds all of them"));
        }
        held.entry(role).or_default().extend(scopes);
    }
    Ok(held)
}

fn together(role: Role, scopes: &[Scope]) -> Result<(Role, Scopes), Fault> {
    let all = Scopes::new(scopes).map_err(|error| Key::of("roles").name(role.as_str()).fault(error))?;
    Ok((role, all))
}

fn catalogue(
    rows: BTreeMap<String, ScopeRow>,
    access_types: &BTreeMap<AccessTypeName, AccessType>,
    held: &mut Held,
) -> Result<BTreeMap<String, ScopeInfo>, Fault> {
    let mut catalogue = BTreeMap::new();
    for (name, row) in rows {
        let at = || Key::of("scopes").name(&name);
        let scope: Scope = parse(&name, at)?;
        if is_our_own(&name) {
            return Err(at().fault("is one of Jeton's own scopes; a profile cannot give it another meaning"));
        }
        for (position, role) in row.roles.iter().enumerate() {
            let at = || at().name("roles").position(position);
            let role: Role = parse(role, at)?;
            match held.get_mut(&role) {
                Some(scopes) => scopes.push(scope.clone()),
                None => return Err(at().fault("there is no such role; declare it in [roles]")),
            }
        }
        ensure_distinct(&row.roles, || at().name("roles"))?;
        if access_types.is_empty() && row.access_types.as_ref().is_some_and(Vec::is_empty) {
            return Err(at().name("access_types").fault("keeps it from no key, for there is no [access_types]"));
        }
        let types = row.access_types.map(|names| known_types(&names, access_types, &at())).transpose()?;
        let ScopeRow { name: title, resource, description, .. } = row;
        catalogue.insert(name, ScopeInfo { name: title, resource, description, access_types: types });
    }
    Ok(catalogue)
}

fn is_our_own(scope: &str) -> bool {
    MANAGEMENT.contains(&scope) || scope == OPERATOR_SCOPE
}

fn known_types(
    names: &[String],
    access_types: &BTreeMap<AccessTypeName, AccessType>,
    at: &Key,
) -> Result<Vec<AccessTypeName>, Fault> {
    let key = || at.clone().name("access_types");
    ensure_distinct(names, key)?;
    let known = |(position, name): (usize, &String)| {
        let at = || key().position(position);
        let name: AccessTypeName = parse(name, at)?;
        if access_types.contains_key(&name) {
            return Ok(name);
        }
        Err(at().fault(format!("there is no access type `{name}`; declare it in [access_types]")))
    };
    names.iter().enumerate().map(known).collect()
}

fn compile_plans(rows: Vec<PlanRow>, limits: LimitsTable) -> Result<Plans, Fault> {
    let mut plans: Vec<Plan> = Vec::new();
    for (position, row) in rows.into_iter().enumerate() {
        let at = || Key::of("plans").position(position);
        if !(1..=64).contains(&row.name.len()) || row.name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(at().name("name").fault("must be a word of 1 to 64 characters"));
        }
        if plans.iter().any(|plan| plan.name == row.name) {
            return Err(at().name("name").fault("is named twice"));
        }
        let keys = row.keys_per_tenant.or(limits.keys_per_tenant);
        let requests = row.requests_per_minute.or(limits.requests_per_minute);
        let PlanRow { name, title, api_keys, .. } = row;
        let plan = Plan { name, title, api_keys, limits: Limits::new(keys, requests) };
        if let Some(key) = plans.last().and_then(|lower| plan.falls_behind(lower)) {
            return Err(at().name(key).fault("gives less than the plan before it: plans stand in rising order"));
        }
        plans.push(plan);
    }
    if !plans.is_empty() && !plans.iter().any(|plan| plan.api_keys) {
        return Err(Key::of("plans").fault("one plan at least must have `api_keys = true`"));
    }
    Ok(Plans { plans, without: Limits::new(limits.keys_per_tenant, limits.requests_per_minute) })
}

/// Whether some keys are a token alone: where there are access types every key has one.
fn has_tokens(form: KeyForm, access_types: &BTreeMap<AccessTypeName, AccessType>) -> bool {
    let is_token = |form: KeyForm| form == KeyForm::Token;
    if access_types.is_empty() { is_token(form) } else { access_types.values().any(|known| is_token(known.form)) }
}

fn deprecated(rows: Vec<DeprecatedRow>, has_tokens: bool) -> Result<Vec<DeprecatedLocation>, Fault> {
    let mut locations = Vec::new();
    for (position, row) in rows.into_iter().enumerate() {
        let at = || Key::of("key").name("deprecated").position(position);
        if !has_tokens {
            return Err(at().fault("has a key without its id, and every key has one: `form` is \"id_and_secret\""));
        }
        let location = match (row.query, row.body) {
            (Some(name), None) if !name.is_empty() => OldLocation::Query(name),
            (None, Some(name)) if !name.is_empty() => OldLocation::Body(name),
            _ => return Err(at().fault("must have either `query` or `body`")),
        };
        if locations.iter().any(|known: &DeprecatedLocation| known.location == location) {
            return Err(at().fault("is there already: a key in it would be read twice"));
        }
        let since = midnight(row.since, || at().name("since"))?;
        let sunset = midnight(row.sunset, || at().name("sunset"))?;
        if sunset <= since {
            return Err(at().name("sunset").fault("must come after `since`"));
        }
        if row.enabled {
            locations.push(DeprecatedLocation { location, since, sunset });
        }
    }
    Ok(locations)
}

/// The beginning of a day, UTC.
fn midnight(given: Datetime, at: impl FnOnce() -> Key) -> Result<Timestamp, Fault> {
    let day = match given {
        Datetime { date: Some(date), time: None, offset: None } => {
            NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
        }
        _ => None,
    };
    let day = day.ok_or_else(|| at().fault("must be a date like 2027-04-01"))?;
    Ok(day.and_time(NaiveTime::MIN).and_utc().into())
}

fn compile_endpoints(
    rows: Vec<EndpointRow>,
    locator: TenantLocator,
    catalogue: Option<&BTreeMap<String, ScopeInfo>>,
    access_types: &BTreeMap<AccessTypeName, AccessType>,
) -> Result<EndpointTable, Fault> {
    if rows.len() > EndpointTable::MOST_ROWS {
        let most = EndpointTable::MOST_ROWS;
        return Err(Key::of("endpoints").fault(format!("has more than {most} rows: use parameters and `**`")));
    }
    let row =
        |(position, row)| endpoint(row, &Key::of("endpoints").position(position), locator, catalogue, access_types);
    let endpoints: Vec<Endpoint> = rows.into_iter().enumerate().map(row).collect::<Result<_, _>>()?;
    let shown: Vec<String> = endpoints.iter().map(|endpoint| endpoint.path.to_string()).collect();
    EndpointTable::new(endpoints).map_err(|clash| {
        let earlier = shown.get(clash.earlier).map(String::as_str).unwrap_or_default();
        Key::of("endpoints").position(clash.later).fault(format!(
            "overlaps with endpoints[{}] ({earlier}) so that neither is more specific: a request could meet either",
            clash.earlier
        ))
    })
}

fn endpoint(
    row: EndpointRow,
    at: &Key,
    locator: TenantLocator,
    catalogue: Option<&BTreeMap<String, ScopeInfo>>,
    access_types: &BTreeMap<AccessTypeName, AccessType>,
) -> Result<Endpoint, Fault> {
    let key = |name: &str| at.clone().name(name);
    let path: super::pattern::PathPattern = parse(&row.path, || key("path"))?;
    let names_tenant = path.has_parameter("tenant_id") || path.has_parameter("project_token");
    if locator == TenantLocator::Path && !names_tenant {
        return Err(key("path").fault("must have {tenant_id} or {project_token}, for `tenant.locator` is \"path\""));
    }
    let scope: Option<Scope> = row.scope.map(|scope| parse(&scope, || key("scope"))).transpose()?;
    // Forward auth puts the scope of a row into the hand of its upstream (ADR 8).
    if scope.as_ref().is_some_and(|scope| is_our_own(scope.as_str())) {
        return Err(key("scope").fault("is one of Jeton's own scopes: each upstream could manage the tenant with it"));
    }
    if let (Some(scope), Some(catalogue)) = (&scope, catalogue)
        && !catalogue.contains_key(scope.as_str())
    {
        return Err(key("scope").fault(format!("there is no scope `{scope}`; declare it in [scopes]")));
    }
    let access_types = row.access_types.map(|names| known_types(&names, access_types, at)).transpose()?;
    if access_types.as_ref().is_some_and(Vec::is_empty) {
        return Err(key("access_types").fault("must name one access type at least, or be left out"));
    }
    let holders =
        scope.as_ref().zip(catalogue).and_then(|(scope, known)| known.get(scope.as_str())?.access_types.as_ref());
    if let (Some(admitted), Some(holders)) = (&access_types, holders)
        && !admitted.iter().any(|name| holders.contains(name))
    {
        return Err(key("access_types").fault("names none that may hold the scope: no request could pass"));
    }
    Ok(Endpoint { methods: methods(row.method, &key("method"))?, path, scope, access_types })
}

fn methods(given: Methods, at: &Key) -> Result<Vec<Method>, Fault> {
    let words = match given {
        Methods::One(word) if word == "*" => return Ok(Method::LISTED.to_vec()),
        Methods::One(word) => vec![word],
        Methods::Several(words) => words,
    };
    let names = Method::LISTED.map(Method::as_str);
    let method = |word: &String| Method::LISTED.into_iter().find(|method| method.as_str() == word);
    let methods: Option<Vec<Method>> = words.iter().map(method).collect();
    let methods = methods.filter(|methods| !methods.is_empty());
    methods
        .ok_or_else(|| at.clone().fault(format!("must be of {}, a list of them, or \"*\" for all", names.join(", "))))
}
