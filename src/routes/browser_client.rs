//! The client for browsers: an ES module that applications of other origins import.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;

/// The module.
pub async fn module() -> HttpResponse {
    file("text/javascript; charset=utf-8", include_str!("../../assets/jeton.js"))
}

/// Its types, for TypeScript.
pub async fn types() -> HttpResponse {
    file("text/plain; charset=utf-8", include_str!("../../assets/jeton.d.ts"))
}

fn file(content_type: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=3600")).content_type(content_type).body(text)
}
