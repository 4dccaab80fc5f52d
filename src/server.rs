//! Runs the server: listeners, background work, and an orderly end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::ACCEPT;
use actix_web::web::{self, Data};
use actix_web::{App as ActixApp, HttpRequest, HttpResponse, HttpServer};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Migrate, StartError};
use crate::background::Background;
use crate::config::Config;
use crate::db::memberships;
use crate::domain::Refusal;
use crate::manage;
use crate::metrics::{Format, SigningKeyAge, Snapshot};
use crate::routes;
use crate::tls::Certificate;
use crate::welcome::Greeting;

/// For how long requests may go on after SIGTERM, in seconds; the rest of 30 s is for what is queued.
const SHUTDOWN_SECONDS: u64 = 25;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Handshakes under way on one worker; while there are more, no connection is accepted. Many, so that strangers who
/// begin one and fall silent keep nobody out, and few enough for memory.
const HANDSHAKES: usize = 1_024;

/// Serves until SIGTERM or SIGINT, then finishes what is under way.
///
/// # Errors
/// Jeton cannot start; each error says how to mend it.
pub async fn serve(config: Config, migrate: Migrate, greeting: Greeting) -> Result<(), StartError> {
    let (listener, address) = listen("server.bind", config.server.bind)?;
    let config = config.listening_on(address);
    let workers = config.server.workers;
    let certificate = config.server.tls.as_ref().map(Certificate::read).transpose()?.map(Arc::new);

    let app = Data::from(App::open(config, migrate).await?);
    let told_to_end = told_to_end().map_err(StartError::Ended)?;
    manage::signing_keys::start(&app).await?;
    manage::instances::join(&app).await?;
    warn_of_untrusted_proxies(&app);

    let metrics = serve_metrics(&app)?;
    let background = Background::start(&Data::clone(&app).into_inner())?;
    let shared = Data::clone(&app);
    let server = HttpServer::new(move || routes::application(Data::clone(&shared)))
        .workers(workers)
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .shutdown_signal(told_to_end)
        .tls_handshake_timeout(HANDSHAKE)
        .max_connection_rate(HANDSHAKES);
    let server = match certificate {
        None => server.listen(listener),
        Some(certificate) => {
            reload_on_hangup(Arc::clone(&certificate)).map_err(StartError::Ended)?;
            server.listen_rustls_0_23(listener, certificate.server_config()?)
        }
    };
    let server = server.map_err(StartError::Ended)?;
    // Behind all that can fail: the password of the first account is shown only once.
    greet(&app, greeting).await?;
    let server = server.run();
    tracing::info!(%address, issuer = app.config.server.public_url.issuer(), "listening");
    let ended = server.await;

    if let Some(metrics) = metrics {
        metrics.stop(false).await;
    }
    background.stop().await;
    app.db.drain().await;
    tracing::info!("stopped");
    ended.map_err(StartError::Ended)
}

/// SIGTERM or SIGINT, caught from now on: one that comes before the server runs ends it in order too, and its row among
/// the servers goes with it.
fn told_to_end() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// SIGHUP: the certificate was renewed. A pair that cannot be used changes nothing.
fn reload_on_hangup(certificate: Arc<Certificate>) -> std::io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let certificate = Arc::clone(&certificate);
            match tokio::task::spawn_blocking(move || certificate.reload()).await {
                Ok(Ok(())) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => tracing::error!(%error, "the certificate is the old one"),
                Err(error) => tracing::error!(%error, "the certificate is the old one"),
            }
        }
    });
    Ok(())
}

/// Listens where `key` of the configuration says.
fn listen(key: &'static str, bind: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(key, bind, error);
    let listener = TcpListener::bind(bind).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// With an endpoint table there are proxies that ask; where none is trusted, every client has its proxy's address.
fn warn_of_untrusted_proxies(app: &App) {
    if app.profile.endpoints.iter().next().is_some() && app.config.server.trusted_proxies.is_empty() {
        tracing::warn!(
            "`server.trusted_proxies` is empty: to the allow-lists of API keys every client behind a proxy has the proxy's address"
        );
    }
}

/// Where nothing was configured, makes the first account and shows it on standard output, never in the log. With a
/// database that somebody configured no account is ever made; the log says how to.
async fn greet(app: &App, greeting: Greeting) -> Result<(), StartError> {
    if app.config.is_bare()
        && let Some(account) = manage::first_start::make_first_account(app).await?
    {
        greeting.print(app.config.server.public_url.issuer(), &app.profile, &account);
    }
    if app.db.read(|connection| memberships::is_empty(connection).map_err(Refusal::from)).await? {
        tracing::warn!(
            "nobody can log in: `jeton tenant create --name NAME`, then `jeton user create --tenant ID --email ADDRESS \
             --role admin --generate-password`"
        );
    }
    Ok(())
}

/// Serves the metrics on an address of their own, which nobody outside should reach.
fn serve_metrics(app: &Data<App>) -> Result<Option<actix_web::dev::ServerHandle>, StartError> {
    let Some(bind) = app.config.server.metrics_bind else { return Ok(None) };
    let (listener, address) = listen("server.metrics_bind", bind)?;
    let app = Data::clone(app);
    let server = HttpServer::new(move || {
        ActixApp::new().app_data(Data::clone(&app)).route("/metrics", web::get().to(show_metrics))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .map_err(StartError::Ended)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    tracing::info!(%address, "metrics listening");
    Ok(Some(handle))
}

async fn show_metrics(app: Data<App>, request: HttpRequest) -> HttpResponse {
    let (now, load) = (app.now(), app.db.load());
    let keys = app.keyring.keys();
    let snapshot = Snapshot {
        hashing_queued: app.hasher.queued(),
        hashing_in_progress: app.hasher.in_progress(),
        connections_idle: load.idle,
        connections_busy: load.connections.saturating_sub(load.idle),
        database_queued: load.queued,
        audit_lines_dropped: load.audit_lines_dropped,
        signing_keys: keys
            .iter()
            .map(|key| SigningKeyAge {
                kid: key.kid.clone(),
                algorithm: key.algorithm.as_str(),
                state: key.state.as_str(),
                seconds: now.since(key.created_at).num_seconds(),
            })
            .collect(),
    };
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    HttpResponse::Ok().content_type(format.content_type()).body(app.metrics.render(&snapshot, format))
}
