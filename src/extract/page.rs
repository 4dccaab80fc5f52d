//! `?limit=` and `?cursor=`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::Refusal;
use crate::domain::page::{Cursor, Page};

/// The page of a list that a request asks for.
pub struct PageQuery(pub Page);

impl FromRequest for PageQuery {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

fn parse(query: &str) -> Result<Page, Refusal> {
    let mut page = Page::DEFAULT;
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(Refusal::invalid(&name, "must not be repeated"));
        }
        match name.as_ref() {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=Page::MOST).contains(limit));
                page.limit = limit.ok_or_else(|| Refusal::invalid("limit", format!("must be 1 to {}", Page::MOST)))?;
            }
            "cursor" => {
                let cursor: Cursor = value.parse().map_err(|error| Refusal::invalid("cursor", error))?;
                page.after = Some(cursor.0);
            }
            _ => return Err(Refusal::invalid(&name.chars().take(64).collect::<String>(), "is not a known parameter")),
        }
        seen.push(name);
    }
    Ok(page)
}
