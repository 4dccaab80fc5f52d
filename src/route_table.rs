//! How a door that speaks HTTP writes its routes down: one line for each path, with its methods.

use actix_web::HttpResponse;
use actix_web::http::header::ALLOW;

/// Registers each path with its methods; every other method of a known path is answered 405 with `Allow`.
macro_rules! routes {
    ($config:ident, $($path:literal => $($method:ident $handler:path),+;)+) => {$(
        let resource = actix_web::web::resource($path).app_data($crate::metrics::RouteCounts::default());
        $(let resource = $crate::route_table::routes!(@ resource, $method, $handler);)+
        $config.service(resource.default_service(
            actix_web::web::to(|| async { $crate::route_table::method_not_allowed(&[$(stringify!($method)),+]) }),
        ));
    )+};
    // Whatever answers GET answers HEAD (RFC 9110 section 9.1).
    (@ $resource:ident, get, $handler:path) => {
        $resource.get($handler).route(actix_web::web::head().to($handler))
    };
    (@ $resource:ident, $method:ident, $handler:path) => { $resource.$method($handler) };
}

pub(crate) use routes;

pub(crate) fn method_not_allowed(methods: &[&str]) -> HttpResponse {
    let names =
        methods.iter().map(|method| if *method == "get" { "GET, HEAD".to_owned() } else { method.to_uppercase() });
    let allowed = names.collect::<Vec<_>>().join(", ");
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).finish()
}
