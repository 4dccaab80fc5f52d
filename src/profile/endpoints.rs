//! The endpoint table, compiled once: from a method and a path to the one row that counts.
//!
//! A tree of segments and not a router from a crate: those that were tried refuse `/goals/{id}` beside `/goals/**`, and
//! say nothing of letters in another case (ADR 7).

use std::collections::HashMap;

use super::pattern::{PathPattern, Segment};
use crate::domain::original_request::{Method, RequestPath, without_case};
use crate::domain::word::AccessTypeName;
use crate::domain::{Refusal, Scope};

/// A row of the table: what a request to these paths needs.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The methods that it is for.
    pub methods: Vec<Method>,
    /// The paths that it is for.
    pub path: PathPattern,
    /// The scope that is needed, if one is.
    pub scope: Option<Scope>,
    /// The access types that are admitted; where none are named, everyone is, users too.
    pub access_types: Option<Vec<AccessTypeName>>,
}

/// All rows. Looking one up takes as long with a thousand of them as with ten.
#[derive(Clone, Debug, Default)]
pub struct EndpointTable {
    rows: Vec<Endpoint>,
    tree: Node,
}

/// The row that counts for a request, and what stands in its path.
#[derive(Debug)]
pub struct Match<'a> {
    /// The row.
    pub endpoint: &'a Endpoint,
    /// The segments of the path at the row's parameters, in their order.
    values: Vec<&'a str>,
}

/// Two rows that a request could meet, and nobody could say which.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The row that came later in the file, from 0.
    pub later: usize,
    /// The row that came earlier.
    pub earlier: usize,
}

/// Rows by the segments of their paths; literals without their case.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    /// By method: the row whose path ends here.
    here: ByMethod,
    /// By method: the row whose path ends here and takes all below along.
    below: ByMethod,
}

type ByMethod = [Option<usize>; Method::LISTED.len()];

impl EndpointTable {
    /// As many rows as a table may have: each is compared with each at the start.
    pub const MOST_ROWS: usize = 5_000;

    /// Compiles the rows.
    ///
    /// # Errors
    /// Two rows that overlap so that neither is more specific.
    pub fn new(rows: Vec<Endpoint>) -> Result<Self, Overlap> {
        let mut tree = Node::default();
        for (index, row) in rows.iter().enumerate() {
            if let Some(earlier) = rows.iter().take(index).position(|earlier| earlier.clashes_with(row)) {
                return Err(Overlap { later: index, earlier });
            }
            tree.insert(row, index);
        }
        Ok(Self { rows, tree })
    }

    /// Every row, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.rows.iter()
    }

    /// The row that counts for a request: of those that match the most specific one.
    ///
    /// # Errors
    /// [`Refusal::EndpointNotListed`]; also where an upstream that takes letters of both cases alike would find itself
    /// behind another row than one that does not.
    pub fn find<'a>(&'a self, method: Method, path: &'a RequestPath) -> Result<Match<'a>, Refusal> {
        let slot = Method::LISTED.iter().position(|listed| *listed == method).ok_or(Refusal::EndpointNotListed)?;
        let row = self.tree.find(&mut path.segments(), slot).ok_or(Refusal::EndpointNotListed)?;
        let endpoint = self.rows.get(row).ok_or(Refusal::EndpointNotListed)?;
        let mut values = Vec::new();
        for (segment, given) in endpoint.path.segments.iter().zip(path.segments()) {
            match segment {
                Segment::Parameter(_) => values.push(given),
                Segment::Literal(text) if text != given => return Err(Refusal::EndpointNotListed),
                Segment::Literal(_) => {}
            }
        }
        Ok(Match { endpoint, values })
    }
}

impl Match<'_> {
    /// What stands in the path at the parameter of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let parameters = self.endpoint.path.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(known) => Some(known),
            Segment::Literal(_) => None,
        });
        parameters.zip(&self.values).find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl Endpoint {
    fn clashes_with(&self, other: &Self) -> bool {
        let shares_method = self.methods.iter().any(|method| other.methods.contains(method));
        shares_method && self.path.overlaps(&other.path) && self.path.more_specific(&other.path).is_none()
    }

    /// Refuses a caller of another access type; users have none.
    ///
    /// # Errors
    /// [`Refusal::AccessTypeNotAllowed`].
    pub fn ensure_access_type(&self, caller: Option<&AccessTypeName>) -> Result<(), Refusal> {
        match &self.access_types {
            Some(admitted) if !caller.is_some_and(|caller| admitted.contains(caller)) => {
                Err(Refusal::AccessTypeNotAllowed)
            }
            _ => Ok(()),
        }
    }
}

impl Node {
    fn insert(&mut self, row: &Endpoint, index: usize) {
        let mut node = self;
        for segment in &row.path.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(without_case(text).into()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let by_method = if row.path.and_below { &mut node.below } else { &mut node.here };
        for (slot, method) in by_method.iter_mut().zip(Method::LISTED) {
            if row.methods.contains(&method) {
                *slot = Some(index);
            }
        }
    }

    /// Literals first, then the parameter, then what takes all below along: of rows that match the most specific one.
    fn find<'a>(&self, rest: &mut (impl Iterator<Item = &'a str> + Clone), slot: usize) -> Option<usize> {
        let row = |by_method: &ByMethod| by_method.get(slot).copied().flatten();
        let Some(segment) = rest.next() else {
            return row(&self.here).or_else(|| row(&self.below));
        };
        let is_lower = segment.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
        let literal =
            if is_lower { self.literals.get(segment) } else { self.literals.get(without_case(segment).as_str()) };
        let below_literal = literal.and_then(|node| node.find(&mut rest.clone(), slot));
        let below_parameter = || self.parameter.as_ref().and_then(|node| node.find(&mut rest.clone(), slot));
        below_literal.or_else(below_parameter).or_else(|| row(&self.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: Method, path: &str) -> Endpoint {
        Endpoint { methods: vec![method], path: path.parse().unwrap(), scope: None, access_types: None }
    }

    fn table(paths: &[&str]) -> Result<EndpointTable, Overlap> {
        EndpointTable::new(paths.iter().map(|path| row(Method::Get, path)).collect())
    }

    fn found(table: &EndpointTable, path: &str) -> Option<String> {
        let path = RequestPath::parse(path).unwrap();
        table.find(Method::Get, &path).ok().map(|found| found.endpoint.path.to_string())
    }

    #[test]
    fn the_most_specific_row_counts() {
        let table = table(&["/a/**", "/a/b", "/a/{x}", "/a/{x}/c", "/a/b/d/**", "/z/{p}/{q}"]).unwrap();
        for (path, row) in [
            ("/a", Some("/a/**")),
            ("/a/", Some("/a/**")),
            ("/a/b", Some("/a/b")),
            ("/a/x", Some("/a/{x}")),
            ("/a/b/c", Some("/a/{x}/c")),
            ("/a/b/d", Some("/a/b/d/**")),
            ("/a/b/d/e/f", Some("/a/b/d/**")),
            ("/a/b/e", Some("/a/**")),
            ("/a/x/y/z", Some("/a/**")),
            ("/b", None),
            ("/ab", None),
            ("/", None),
        ] {
            assert_eq!(found(&table, path).as_deref(), row, "{path}");
        }
        let path = RequestPath::parse("/z/one/two").unwrap();
        let found = table.find(Method::Get, &path).unwrap();
        assert_eq!((found.value("q"), found.value("p"), found.value("x")), (Some("two"), Some("one"), None));
        assert!(table.find(Method::Post, &path).is_err());
        assert!(table.find(Method::Other, &path).is_err());
    }

    #[test]
    fn another_case_of_a_letter_meets_no_wider_row() {
        let table = table(&["/api/**", "/api/Admin/**"]).unwrap();
        assert_eq!(found(&table, "/api/Admin/users").as_deref(), Some("/api/Admin/**"));
        assert_eq!(found(&table, "/api/Other/Users").as_deref(), Some("/api/**"));
        for path in ["/api/admin/users", "/api/ADMIN", "/API/other"] {
            assert_eq!(found(&table, path), None, "{path}");
        }
        // Both small sigmas have one capital.
        let table = self::table(&["/{word}", "/λόγος"]).unwrap();
        assert_eq!(found(&table, "/%CE%BB%CF%8C%CE%B3%CE%BF%CF%82").as_deref(), Some("/λόγος"));
        for path in ["/%CE%9B%CE%8C%CE%93%CE%9F%CE%A3", "/%CE%BB%CF%8C%CE%B3%CE%BF%CF%83"] {
            assert_eq!(found(&table, path), None, "{path}");
        }
    }

    #[test]
    fn rows_that_overlap_without_order_are_refused() {
        assert_eq!(table(&["/a/{x}/c", "/q", "/a/b/{y}"]).unwrap_err(), Overlap { later: 2, earlier: 0 });
        assert_eq!(table(&["/a/{x}", "/a/{y}"]).unwrap_err(), Overlap { later: 1, earlier: 0 });
        let rows = vec![row(Method::Get, "/a/{x}/c"), row(Method::Post, "/a/b/{y}")];
        assert!(EndpointTable::new(rows).is_ok(), "of different methods");
    }
}
