//! The least that a server on this framework can do: what every figure is compared with.

use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8080);
    HttpServer::new(|| App::new().route("/", web::get().to(|| async { "hello" })))
        .workers(std::thread::available_parallelism().map_or(1, usize::from))
        .bind(("127.0.0.1", port))?
        .run()
        .await
}
