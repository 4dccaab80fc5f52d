//! Conditions on the claims of somebody else's token: which of an issuer's workloads are meant.

use std::collections::BTreeMap;
use std::iter;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};

use super::distinct::first_repeated;
use super::object_members::ObjectMembers;
use super::printable::{is_printable, shown};

/// The values that are allowed for each claim; every condition must be met.
///
/// A claim is named as it stands at the top of the token (`repository`, `https://a.example/role`), or, where the name
/// begins with `/`, by a JSON Pointer (RFC 6901: `/kubernetes.io/namespace`). A value is compared as a whole, or up to
/// a trailing `*` behind a separator. There are no regular expressions: nobody reads one right at the first try.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct ClaimConditions {
    values: Values,
    json: String,
}

type Values = BTreeMap<String, Vec<String>>;

/// One condition as a line of text, `claim = value`: how people write it on the command line and in the console. Spaces
/// around the claim and around the value are none of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    claim: String,
    value: String,
}

/// What is given in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Claims(ObjectMembers<Allowed>),
    Other(IgnoredAny),
}

/// One value, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Allowed {
    One(String),
    Several(Vec<String>),
    Other(IgnoredAny),
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
        "`{}` must be the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace, of 1 to 255 printable \
         characters",
        quoted(.0)
    )]
    Claim(String),
    /// A claim that is checked anyway.
    #[error("`{}` is checked for every token and cannot be a condition", quoted(.0))]
    Registered(String),
    /// A value that is no text, or empty, long or unprintable.
    #[error("the values of `{}` must be texts of 1 to 255 printable characters", quoted(.0))]
    Value(String),
    /// Spaces that nobody meant: a claim and its values are compared with them.
    #[error("`{}` must be without spaces around it", quoted(.0))]
    Spaces(String),
    /// `octo*` would let `octo-evil` in.
    #[error("the values of `{}` may have a `*` at the end alone, behind a `/` or `:`", quoted(.0))]
    Wildcard(String),
    /// The same value twice.
    #[error("names the value `{}` twice", quoted(.0))]
    Repeated(String),
    /// The same claim twice, as `sub` and `/sub` perhaps: each would have to be met.
    #[error("names the claim `{}` twice; give it all of its values at once", quoted(.0))]
    Twice(String),
    /// A claim that must be text has nothing in it.
    #[error("no token has `{}` where `{}` is text, as it must be", quoted(.0), quoted(.1))]
    Within(String, String),
    /// Not the JSON of conditions.
    #[error("must be an object of claims, each with a value or a list of values")]
    Malformed,
    /// Not a line with a condition.
    #[error("must be CLAIM=VALUE, like repository=octo-org/app, and `{}` is not", quoted(.0))]
    Line(String),
}

/// As a refusal repeats what was given.
fn quoted(text: &str) -> String {
    shown(text, ClaimConditions::LONGEST)
}

/// The claims that are checked for every token (RFC 7519 section 4.1). `sub` is not among them: it says which workload
/// it is.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

impl ClaimConditions {
    /// As many claims as may have a condition.
    pub const MOST_CLAIMS: usize = 16;

    /// As many values as a claim may have.
    pub const MOST_VALUES: usize = 50;

    /// As many characters as a claim's name, and each of its values, may have.
    const LONGEST: usize = 255;

    /// The values that are allowed for each claim, in the order in which they are given: a claim that comes twice is
    /// refused, for both would have to be met.
    ///
    /// # Errors
    /// See [`InvalidConditions`]; what no token could ever meet too.
    pub fn new(given: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Self, InvalidConditions> {
        let mut values = Values::new();
        for (claim, allowed) in given {
            if values.contains_key(&claim) {
                return Err(InvalidConditions::Twice(claim));
            }
            values.insert(claim, allowed);
        }
        let conditions = Self::of(values)?;
        conditions.ensure_printable()?;
        conditions.ensure_without_spaces()?;
        conditions.ensure_distinct_places()?;
        conditions.ensure_none_within_text()?;
        Ok(conditions)
    }

    /// Several conditions with the same claim are met by any of their values.
    ///
    /// # Errors
    /// As [`ClaimConditions::new`].
    pub fn any_of(conditions: impl IntoIterator<Item = Condition>) -> Result<Self, InvalidConditions> {
        let mut values = Values::new();
        for Condition { claim, value } in conditions {
            values.entry(claim).or_default().push(value);
        }
        Self::new(values)
    }

    /// What was stored: whatever was once accepted is read, though [`ClaimConditions::new`] would refuse it today.
    ///
    /// # Errors
    /// It is damaged, or would let everybody in.
    pub(crate) fn stored(json: &str) -> Result<Self, InvalidConditions> {
        Self::of(serde_json::from_str(json).map_err(|_| InvalidConditions::Malformed)?)
    }

    fn of(values: Values) -> Result<Self, InvalidConditions> {
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

    /// People read conditions to judge whom they let in: each must look like what it is.
    fn ensure_printable(&self) -> Result<(), InvalidConditions> {
        for (claim, allowed) in &self.values {
            if !is_printable(claim, Self::LONGEST) {
                return Err(InvalidConditions::Claim(claim.clone()));
            }
            if !allowed.iter().all(|value| is_printable(value, Self::LONGEST)) {
                return Err(InvalidConditions::Value(claim.clone()));
            }
        }
        Ok(())
    }

    fn ensure_without_spaces(&self) -> Result<(), InvalidConditions> {
        let mut written = self.values.iter().flat_map(|(claim, allowed)| iter::once(claim).chain(allowed));
        let spaced = written.find(|text| text.trim() != text.as_str());
        spaced.map_or(Ok(()), |text| Err(InvalidConditions::Spaces(text.clone())))
    }

    /// Refuses two conditions on what is one claim: both would have to be met.
    fn ensure_distinct_places(&self) -> Result<(), InvalidConditions> {
        let places: Vec<_> = self.values.keys().map(|claim| place(claim)).collect();
        let again = first_repeated(&places).and_then(|(index, _)| self.values.keys().nth(index));
        again.map_or(Ok(()), |claim| Err(InvalidConditions::Twice(claim.clone())))
    }

    /// Refuses what lies in a claim that must be text: in one with a condition, or in `sub`, which every token has.
    fn ensure_none_within_text(&self) -> Result<(), InvalidConditions> {
        let names = self.values.keys().map(String::as_str);
        let texts: Vec<_> = names.chain(["sub"]).map(|claim| (place(claim), claim)).collect();
        for claim in self.values.keys() {
            let inner = place(claim);
            let around = texts.iter().find(|(outer, _)| inner != *outer && inner.starts_with(outer));
            if let Some((_, text)) = around {
                return Err(InvalidConditions::Within(claim.clone(), (*text).to_owned()));
            }
        }
        Ok(())
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

/// Where a claim stands in a token, from the top.
fn place(claim: &str) -> Vec<String> {
    match claim.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![claim.to_owned()],
    }
}

fn is_fit(text: &str) -> bool {
    (1..=ClaimConditions::LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control)
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

impl FromStr for Condition {
    type Err = InvalidConditions;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (claim, value) = line.split_once('=').ok_or_else(|| InvalidConditions::Line(line.to_owned()))?;
        Ok(Self { claim: claim.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl<'de> Deserialize<'de> for ClaimConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Given::Claims(ObjectMembers(given)) = Given::deserialize(deserializer)? else {
            return Err(D::Error::custom(InvalidConditions::Malformed));
        };
        let values = given.into_iter().map(|(claim, allowed)| match allowed {
            Allowed::One(value) => Ok((claim, vec![value])),
            Allowed::Several(values) => Ok((claim, values)),
            Allowed::Other(_) => Err(InvalidConditions::Value(claim)),
        });
        values.collect::<Result<Vec<_>, _>>().and_then(Self::new).map_err(D::Error::custom)
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
            (json!({"sub": 7}), "the values of `sub` must be texts"),
            (json!({"sub": {"a": "b"}}), "the values of `sub` must be texts"),
            (json!({"ref": ["a", true]}), "the values of `ref` must be texts"),
            (json!([]), "must be an object of claims"),
            (json!("sub=a"), "must be an object of claims"),
        ] {
            let error = conditions(&bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_refused_today_is_read_where_it_was_stored() {
        for (given, says) in [
            (json!({"a\u{2028}": "b"}), "must be the name of a claim"),
            (json!({"a\u{200b}\u{202e}": "b"}), "`a` must be the name of a claim"),
            (json!({"sub": "\u{202e}a"}), "the values of `sub` must be texts"),
            (json!({" sub": "a"}), "` sub` must be without spaces"),
            (json!({"sub": "a "}), "`a ` must be without spaces"),
            (json!({"sub": "a", "/sub": "a"}), "names the claim `sub` twice"),
            (json!({"a/b": "x", "/a~1b": "x"}), "names the claim `a/b` twice"),
            (json!({"/sub/0": "a"}), "no token has `/sub/0` where `sub` is text"),
            (json!({"a": "x", "/a/b": "x"}), "no token has `/a/b` where `a` is text"),
            (json!({"/a/b/c": "x", "/a/b": "x"}), "no token has `/a/b/c` where `/a/b` is text"),
        ] {
            let error = conditions(&given).unwrap_err();
            assert!(error.contains(says), "{given}: {error}");
            let listed = given.as_object().unwrap().iter().map(|(claim, value)| (claim.clone(), vec![value.clone()]));
            let stored = Value::Object(listed.map(|(claim, values)| (claim, Value::Array(values))).collect());
            assert!(ClaimConditions::stored(&stored.to_string()).is_ok(), "{given}");
        }
        conditions(&json!({"/sub": "a", "/a/b": "x", "/a/bc": "x", "/a/d": "x"})).unwrap();
        let twice = serde_json::from_str::<ClaimConditions>(r#"{"sub":"a","sub":"b"}"#).unwrap_err().to_string();
        assert!(twice.contains("names the claim `sub` twice"), "{twice}");
    }

    #[test]
    fn lines_are_read_as_people_write_them() {
        let read = |lines: &str| {
            let given = lines.lines().map(str::parse).collect::<Result<Vec<Condition>, _>>()?;
            ClaimConditions::any_of(given)
        };
        let of_several = read("repository=octo/app\n ref = refs/heads/main \nref=refs/tags/*\nquery=a=b");
        let expected = r#"{"query":["a=b"],"ref":["refs/heads/main","refs/tags/*"],"repository":["octo/app"]}"#;
        assert_eq!(of_several.unwrap().as_str(), expected);
        for (bad, error) in [
            ("sub", InvalidConditions::Line("sub".to_owned())),
            ("", InvalidConditions::None),
            ("=a", InvalidConditions::Claim(String::new())),
            ("sub=", InvalidConditions::Value("sub".to_owned())),
            ("sub=a\n/sub=b", InvalidConditions::Twice("sub".to_owned())),
            ("sub=a\nsub = a", InvalidConditions::Repeated("a".to_owned())),
        ] {
            assert_eq!(read(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn they_are_read_back_as_they_were_stored() {
        let given = conditions(&json!({"sub": "a", "ref": ["b", "c"]})).unwrap();
        assert_eq!(given.as_str(), r#"{"ref":["b","c"],"sub":["a"]}"#);
        assert_eq!(ClaimConditions::stored(given.as_str()), Ok(given.clone()));
        assert_eq!(serde_json::to_value(&given).unwrap(), json!({"ref": ["b", "c"], "sub": ["a"]}));
        assert_eq!(ClaimConditions::stored("{}"), Err(InvalidConditions::None), "what is damaged lets nobody in");
    }
}
