//! Conditions on the claims of somebody else's token: which of an issuer's workloads are meant.

use std::collections::BTreeMap;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};

use super::distinct::first_repeated;

/// The values that are allowed for each claim; every condition must be met.
///
/// A claim is named as it stands at the top of the token (`repository`, `https://a.example/role`), or, where the name begins
/// with `/`, by a JSON Pointer (RFC 6901: `/kubernetes.io/namespace`). A value is compared as a whole, or up to a trailing `*`
/// behind a separator. There are no regular expressions: nobody reads one right at the first try.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, AsExpression, FromSqlRow)]
#[serde(try_from = "BTreeMap<String, Allowed>")]
#[diesel(sql_type = Text)]
pub struct ClaimConditions {
    values: Values,
    json: String,
}

type Values = BTreeMap<String, Vec<String>>;

/// One value, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Allowed {
    One(String),
    Several(Vec<String>),
}

/// What was given are no conditions.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConditions {
    /// Nothing is asked of the token but who issued it, and for whom.
    #[error(
        "must have at least one condition beside issuer and audience: without one every workload of the issuer is let in, with GitHub every repository in the world"
    )]
    None,
    /// More than anyone needs.
    #[error(
        "must be at most {} claims with 1 to {} values each",
        ClaimConditions::MOST_CLAIMS,
        ClaimConditions::MOST_VALUES
    )]
    TooMany,
    /// A name that is empty, long or unprintable, or no JSON Pointer.
    #[error(
        "`{0}` must be the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace, of 1 to 255 characters"
    )]
    Claim(String),
    /// A claim that is checked anyway.
    #[error("`{0}` is checked for every token and cannot be a condition")]
    Registered(String),
    /// An empty, long or unprintable value.
    #[error("the values of `{0}` must be 1 to 255 printable characters")]
    Value(String),
    /// `octo*` would let `octo-evil` in.
    #[error("the values of `{0}` may have a `*` at the end alone, behind a `/` or `:`")]
    Wildcard(String),
    /// The same value twice.
    #[error("names the value `{0}` twice")]
    Repeated(String),
    /// Not the JSON of conditions.
    #[error("must be claims, each with a value or a list of values")]
    Malformed,
}

/// The claims that are checked for every token (RFC 7519 section 4.1). `sub` is not among them: it says which workload it is.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

impl ClaimConditions {
    /// As many claims as may have a condition.
    pub const MOST_CLAIMS: usize = 16;

    /// As many values as a claim may have.
    pub const MOST_VALUES: usize = 50;

    /// The values that are allowed for each claim.
    ///
    /// # Errors
    /// See [`InvalidConditions`].
    pub fn new(values: BTreeMap<String, Vec<String>>) -> Result<Self, InvalidConditions> {
        let has_fit_size = |values: &Vec<String>| (1..=Self::MOST_VALUES).contains(&values.len());
        if values.is_empty() {
            return Err(InvalidConditions::None);
        }
        if values.len() > Self::MOST_CLAIMS || !values.values().all(has_fit_size) {
            return Err(InvalidConditions::TooMany);
        }
        for (claim, allowed) in &values {
            ensure_claim(claim)?;
            allowed.iter().try_for_each(|value| ensure_value(claim, value))?;
            if let Some((_, value)) = first_repeated(allowed) {
                return Err(InvalidConditions::Repeated(value.clone()));
            }
        }
        let json = serde_json::to_string(&values).map_err(|_| InvalidConditions::Malformed)?;
        Ok(Self { values, json })
    }

    /// Each claim with the values that are allowed for it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(claim, values)| (claim.as_str(), values.as_slice()))
    }

    /// The JSON that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.json
    }

    /// The first claim whose condition these claims do not meet; none where they meet them all.
    #[must_use]
    pub fn unmet(&self, claims: &Value) -> Option<&str> {
        self.values.iter().find(|(claim, allowed)| !is_met(claims, claim, allowed)).map(|(claim, _)| claim.as_str())
    }
}

/// A claim of another type than text meets nothing: `true` is not `"true"`, and a list is not one of its members.
fn is_met(claims: &Value, claim: &str, allowed: &[String]) -> bool {
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    found.and_then(Value::as_str).is_some_and(|text| {
        allowed.iter().any(|value| match value.strip_suffix('*') {
            Some(begin) => text.len() > begin.len() && text.starts_with(begin),
            None => text == value,
        })
    })
}

fn is_fit(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn ensure_claim(claim: &str) -> Result<(), InvalidConditions> {
    let first = match claim.strip_prefix('/') {
        Some(pointer) => pointer.split('/').next().unwrap_or_default(),
        None => claim,
    };
    let escapes_well = |text: &str| text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !is_fit(claim) || first.is_empty() || (claim.starts_with('/') && !escapes_well(claim)) {
        return Err(InvalidConditions::Claim(claim.to_owned()));
    }
    if REGISTERED.contains(&first) { Err(InvalidConditions::Registered(claim.to_owned())) } else { Ok(()) }
}

fn ensure_value(claim: &str, value: &str) -> Result<(), InvalidConditions> {
    if !is_fit(value) {
        return Err(InvalidConditions::Value(claim.to_owned()));
    }
    match value.split_once('*') {
        None => Ok(()),
        Some((begin, "")) if begin.ends_with(['/', ':']) => Ok(()),
        Some(_) => Err(InvalidConditions::Wildcard(claim.to_owned())),
    }
}

impl TryFrom<BTreeMap<String, Allowed>> for ClaimConditions {
    type Error = InvalidConditions;

    fn try_from(claims: BTreeMap<String, Allowed>) -> Result<Self, Self::Error> {
        let values = |allowed| match allowed {
            Allowed::One(value) => vec![value],
            Allowed::Several(values) => values,
        };
        Self::new(claims.into_iter().map(|(claim, allowed)| (claim, values(allowed))).collect())
    }
}

impl FromStr for ClaimConditions {
    type Err = InvalidConditions;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::new(serde_json::from_str(json).map_err(|_| InvalidConditions::Malformed)?)
    }
}

impl Serialize for ClaimConditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl utoipa::PartialSchema for ClaimConditions {
    fn schema() -> RefOr<Schema> {
        let mut schema = <Values as utoipa::PartialSchema>::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.min_properties = Some(1);
        }
        schema
    }
}

impl utoipa::ToSchema for ClaimConditions {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditions(value: &Value) -> Result<ClaimConditions, String> {
        serde_json::from_value(value.clone()).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn all_must_be_met_each_by_one_of_its_values() {
        let claims = json!({
            "sub": "repo:octo/app:ref:refs/heads/main",
            "repository": "octo/app",
            "private": true,
            "https://a.example/role": "ci",
            "groups": ["ops"],
            "kubernetes.io": {"namespace": "prod", "a/b": "c"},
        });
        for (given, unmet) in [
            (json!({"repository": "octo/app"}), None),
            (json!({"repository": ["other/app", "octo/app"], "sub": "repo:octo/app:*"}), None),
            (json!({"repository": "octo/*"}), None),
            (json!({"https://a.example/role": "ci"}), None),
            (json!({"/kubernetes.io/namespace": "prod"}), None),
            (json!({"/kubernetes.io/a~1b": "c"}), None),
            (json!({"repository": "octo/ap"}), Some("repository")),
            (json!({"repository": "Octo/app"}), Some("repository")),
            (json!({"repository": "octo/app", "sub": "repo:octo/other:*"}), Some("sub")),
            (json!({"sub": "repo:octo/app:ref:refs/heads/main/*"}), Some("sub")),
            (json!({"private": "true"}), Some("private")),
            (json!({"groups": "ops"}), Some("groups")),
            (json!({"kubernetes.io": "prod"}), Some("kubernetes.io")),
            (json!({"kubernetes.io/namespace": "prod"}), Some("kubernetes.io/namespace")),
            (json!({"absent": "octo/app"}), Some("absent")),
        ] {
            assert_eq!(conditions(&given).unwrap().unmet(&claims), unmet, "{given}");
        }
        let whole = conditions(&json!({"repository": "octo/*"})).unwrap();
        assert_eq!(whole.unmet(&json!({"repository": "octo/"})), Some("repository"), "a `*` stands for something");
    }

    #[test]
    fn what_lets_everybody_in_or_can_be_misread_is_refused() {
        let long = "x".repeat(256);
        let many: Vec<_> = (0..51).map(|n| n.to_string()).collect();
        for (bad, says) in [
            (json!({}), "at least one condition"),
            (json!({"iss": "https://a.example"}), "checked for every token"),
            (json!({"/aud": "x"}), "checked for every token"),
            (json!({"/aud/0": "x"}), "checked for every token"),
            (json!({"": "x"}), "must be the name of a claim"),
            (json!({"/": "x"}), "must be the name of a claim"),
            (json!({"/a~2": "x"}), "must be the name of a claim"),
            (json!({long.as_str(): "x"}), "must be the name of a claim"),
            (json!({"sub": ""}), "printable"),
            (json!({"sub": "a\nb"}), "printable"),
            (json!({"sub": "*"}), "`*` at the end alone"),
            (json!({"repository": "octo*"}), "`*` at the end alone"),
            (json!({"repository": "*/app"}), "`*` at the end alone"),
            (json!({"repository": "octo/*/*"}), "`*` at the end alone"),
            (json!({"sub": []}), "1 to 50 values"),
            (json!({"sub": many}), "1 to 50 values"),
            (json!({"sub": ["a", "a"]}), "twice"),
            (json!({"sub": 7}), "did not match"),
            (json!({"sub": {"a": "b"}}), "did not match"),
            (json!([]), "expected a map"),
        ] {
            let error = conditions(&bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn they_are_read_back_as_they_were_stored() {
        let given = conditions(&json!({"sub": "a", "ref": ["b", "c"]})).unwrap();
        assert_eq!(given.as_str(), r#"{"ref":["b","c"],"sub":["a"]}"#);
        assert_eq!(given.as_str().parse(), Ok(given.clone()));
        assert_eq!(serde_json::to_value(&given).unwrap(), json!({"ref": ["b", "c"], "sub": ["a"]}));
        assert_eq!("{}".parse::<ClaimConditions>(), Err(InvalidConditions::None), "what is damaged lets nobody in");
    }
}
