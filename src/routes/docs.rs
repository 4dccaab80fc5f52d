//! `/docs`: the OpenAPI document for people (Swagger UI, served from the binary), and where `/` leads.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentEncoding, LOCATION, VARY};
use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use crate::console;
use crate::domain::Refusal;

/// Nothing but our own files, and no inline script or style (security 23), but for the one style that Swagger UI sets,
/// which is named by its hash.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Jeton API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// `/` leads a browser to the console, others to the documentation.
pub async fn root(request: HttpRequest) -> HttpResponse {
    let accepted = request.headers().get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    let path = if accepted.contains("text/html") { console::PATH } else { "/docs" };
    HttpResponse::SeeOther().insert_header((LOCATION, path)).insert_header((VARY, "Accept")).finish()
}

/// The page.
pub async fn page() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_SECURITY_POLICY, CSP)).content_type("text/html; charset=utf-8").body(PAGE)
}

/// A file of Swagger UI.
pub async fn asset(file: Path<String>) -> Result<HttpResponse, Refusal> {
    let config: Arc<Config<'static>> = Arc::new(Config::from("/openapi.json"));
    let found = utoipa_swagger_ui::serve(&file, config).map_err(|_| Refusal::NotFound)?.ok_or(Refusal::NotFound)?;
    let mut answer = HttpResponse::Ok();
    if found.gzpipped {
        // The binary has it so only; whoever reads this page is a browser.
        answer.insert_header(ContentEncoding::Gzip);
    }
    Ok(answer
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .content_type(found.content_type)
        .body(match found.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        }))
}
