//! The style sheet, the script and the icon: ours, small, and named by their content, so that browsers keep them for
//! good.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Path;

use crate::domain::Refusal;

const CSS: &str = include_str!("../../assets/console.css");
const JS: &str = include_str!("../../assets/console.js");
const ICON: &str = include_str!("../../assets/console.svg");

/// The addresses of the style sheet, the script and the icon.
pub fn paths() -> [&'static str; 3] {
    static PATHS: LazyLock<[String; 3]> = LazyLock::new(|| {
        [("console.css", CSS), ("console.js", JS), ("console.svg", ICON)]
            .map(|(name, text)| format!("{}/assets/{name}?v={:08x}", super::PATH, crc32fast::hash(text.as_bytes())))
    });
    PATHS.each_ref().map(String::as_str)
}

/// Serves one of them.
pub async fn file(name: Path<String>) -> Result<HttpResponse, Refusal> {
    let (content_type, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", CSS),
        "console.js" => ("text/javascript; charset=utf-8", JS),
        "console.svg" => ("image/svg+xml", ICON),
        _ => return Err(Refusal::NotFound),
    };
    let kept = (CACHE_CONTROL, "public, max-age=31536000, immutable");
    Ok(HttpResponse::Ok().insert_header(kept).content_type(content_type).body(text))
}
