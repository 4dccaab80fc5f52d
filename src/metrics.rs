//! What operators can measure: counters kept here, and gauges read when somebody asks.

mod format;

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use self::format::Format;

use crate::domain::login_failures::FailureLimit;
use crate::telemetry::{COMMIT, VERSION};

/// The route of a request that no route matches.
const UNMATCHED: &str = "unmatched";

/// Upper bounds in seconds: from a key set out of memory to a password hash that waited in a queue.
const BUCKETS: [f64; 14] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The labels of one series. They are static, so that counting allocates nothing, and chosen by the
/// server, so that no client can make series without end.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The metrics of this process; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    requests: Family<Labels<3>, Counter>,
    durations: Family<Labels<1>, Histogram>,
    refusals: Family<Labels<1>, Counter>,
    refreshes: Family<Labels<1>, Counter>,
    logins: Family<Labels<1>, Counter>,
    hashing_queued: Gauge,
    hashing_in_progress: Gauge,
    connections_idle: Gauge,
    connections_busy: Gauge,
    database_queued: Gauge,
    audit_lines_dropped: Counter,
    signing_keys: Family<[(&'static str, String); 3], Gauge>,
    /// Held while the gauges are set and written, so that two scrapes do not mix.
    registry: Mutex<Registry>,
    routes: RwLock<HashSet<&'static str>>,
}

/// What is counted of the requests of one route by one worker. It keeps the series that it found once, so that counting
/// looks none up by its labels.
#[derive(Default)]
pub struct RouteCounts {
    route: OnceCell<&'static str>,
    answered: RefCell<Vec<(&'static str, u16, Counter)>>,
    durations: OnceCell<Histogram>,
}

/// How a refresh ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The current token was exchanged for its successor.
    Rotated,
    /// Its predecessor came again within the grace.
    Grace,
    /// An older one came: the session is revoked.
    Reused,
}

/// How a login ended, or the check of a password before it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The password was right.
    Right,
    /// It was wrong, or there is no such account.
    Wrong,
    /// It came too early, and was not tried.
    Throttled(FailureLimit),
}

impl LoginOutcome {
    const ALL: [Self; 4] = [
        Self::Right,
        Self::Wrong,
        Self::Throttled(FailureLimit::Account(0)),
        Self::Throttled(FailureLimit::Address(0)),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Throttled(FailureLimit::Account(_)) => "account_throttled",
            Self::Throttled(FailureLimit::Address(_)) => "address_throttled",
        }
    }
}

impl RefreshOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Grace => "grace",
            Self::Reused => "reused",
        }
    }
}

/// What is measured when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Passwords that wait for a hashing thread.
    pub hashing_queued: usize,
    /// Passwords that are being hashed.
    pub hashing_in_progress: usize,
    /// Database connections that nobody uses.
    pub connections_idle: u32,
    /// Database connections in use.
    pub connections_busy: u32,
    /// Work that waits for the database.
    pub database_queued: usize,
    /// Lines of the audit log that were lost since the start.
    pub audit_lines_dropped: u64,
    /// The signing keys.
    pub signing_keys: Vec<SigningKeyAge>,
}

/// The age of a signing key.
#[derive(Debug, Clone)]
pub struct SigningKeyAge {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: &'static str,
    /// Its state.
    pub state: &'static str,
    /// Seconds since it was made.
    pub seconds: i64,
}

impl Default for Metrics {
    /// Metrics that have counted nothing yet.
    fn default() -> Self {
        let mut registry = Registry::with_prefix("jeton");
        let build = Info::new([("version", VERSION), ("commit", COMMIT)]);
        registry.register("build", "The version that runs", build);

        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request to its answer",
            Unit::Seconds,
            durations.clone(),
        );
        let refusals = Family::default();
        registry.register("refusals", "Answers with a problem document, by its code", refusals.clone());
        let refreshes = Family::<Labels<1>, Counter>::default();
        for outcome in [RefreshOutcome::Rotated, RefreshOutcome::Grace, RefreshOutcome::Reused] {
            // There from the start: an alert on reuse must not wait for the first one to know the series.
            drop(refreshes.get_or_create(&[("outcome", outcome.as_str())]));
        }
        registry.register("refresh", "Refresh tokens presented, by what came of it", refreshes.clone());
        let logins = Family::<Labels<1>, Counter>::default();
        for outcome in LoginOutcome::ALL {
            drop(logins.get_or_create(&[("outcome", outcome.as_str())]));
        }
        registry.register("password_checks", "Passwords presented, by what came of it", logins.clone());

        let hashing_queued = Gauge::default();
        registry.register("hashing_queue_length", "Passwords that wait to be hashed", hashing_queued.clone());
        let hashing_in_progress = Gauge::default();
        registry.register("hashing_in_progress", "Passwords that are being hashed", hashing_in_progress.clone());

        let connections = Family::<Labels<1>, Gauge>::default();
        registry.register("db_pool_connections", "Open database connections", connections.clone());
        let database_queued = Gauge::default();
        registry.register("db_queue_length", "Work that waits for the database", database_queued.clone());
        let audit_lines_dropped = Counter::default();
        registry.register("audit_lines_dropped", "Refusals without their line", audit_lines_dropped.clone());

        let signing_keys = Family::default();
        registry.register_with_unit(
            "signing_key_age",
            "Time since a key was made",
            Unit::Seconds,
            signing_keys.clone(),
        );

        Self(Arc::new(Families {
            requests,
            durations,
            refusals,
            refreshes,
            logins,
            hashing_queued,
            hashing_in_progress,
            connections_idle: connections.get_or_create_owned(&[("state", "idle")]),
            connections_busy: connections.get_or_create_owned(&[("state", "busy")]),
            database_queued,
            audit_lines_dropped,
            signing_keys,
            registry: Mutex::new(registry),
            routes: RwLock::default(),
        }))
    }
}

impl Metrics {
    /// Counts a refusal by its code (contract section 5).
    pub fn count_refusal(&self, code: &'static str) {
        self.0.refusals.get_or_create(&[("code", code)]).inc();
    }

    /// Counts a refresh.
    pub fn count_refresh(&self, outcome: RefreshOutcome) {
        self.0.refreshes.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// Counts a password that was presented.
    pub fn count_login(&self, outcome: LoginOutcome) {
        self.0.logins.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// Everything, written in this format.
    #[must_use]
    pub fn render(&self, snapshot: &Snapshot, format: Format) -> String {
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.set(snapshot);
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode(&mut text, &registry);
        format.write(text)
    }
}

impl RouteCounts {
    /// Counts an answered request, and tells its route: once, by the `pattern` that matched.
    pub fn count(
        &self,
        metrics: &Metrics,
        method: &str,
        status: u16,
        duration: Duration,
        pattern: impl FnOnce() -> Option<String>,
    ) -> &'static str {
        let route = *self.route.get_or_init(|| pattern().map_or(UNMATCHED, |route| metrics.0.interned(&route)));
        let method = known_method(method);
        let mut answered = self.answered.borrow_mut();
        if let Some((.., counter)) = answered.iter().find(|(of, with, _)| *of == method && *with == status) {
            counter.inc();
        } else {
            let labels = [("method", method), ("route", route), ("status", known_status(status))];
            let counter = metrics.0.requests.get_or_create_owned(&labels);
            counter.inc();
            answered.push((method, status, counter));
        }
        let durations = || metrics.0.durations.get_or_create_owned(&[("route", route)]);
        self.durations.get_or_init(durations).observe(duration.as_secs_f64());
        route
    }
}

impl Families {
    /// The pattern of a route for as long as the process lives: one copy of each is leaked, and the
    /// routes are as many as the server has.
    fn interned(&self, route: &str) -> &'static str {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(route).copied();
        known.unwrap_or_else(|| {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            // Another worker may have been faster.
            routes.get(route).copied().unwrap_or_else(|| {
                let route: &'static str = String::leak(route.to_owned());
                routes.insert(route);
                route
            })
        })
    }

    fn set(&self, snapshot: &Snapshot) {
        self.hashing_queued.set(gauge(snapshot.hashing_queued));
        self.hashing_in_progress.set(gauge(snapshot.hashing_in_progress));
        self.connections_idle.set(snapshot.connections_idle.into());
        self.connections_busy.set(snapshot.connections_busy.into());
        self.database_queued.set(gauge(snapshot.database_queued));
        self.audit_lines_dropped.inner().store(snapshot.audit_lines_dropped, Ordering::Relaxed);
        self.signing_keys.clear();
        for key in &snapshot.signing_keys {
            let labels =
                [("kid", key.kid.clone()), ("algorithm", key.algorithm.to_owned()), ("state", key.state.to_owned())];
            self.signing_keys.get_or_create(&labels).set(key.seconds);
        }
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A client may send any method and must not be able to make a series of it.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// The statuses that Jeton answers with.
fn known_status(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        204 => "204",
        302 => "302",
        303 => "303",
        304 => "304",
        307 => "307",
        308 => "308",
        400 => "400",
        401 => "401",
        402 => "402",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        412 => "412",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        431 => "431",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_rendered() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            let pattern = || Some("/api/v1/auth/me".to_owned());
            RouteCounts::default().count(&metrics, "GET", 200, Duration::from_millis(3), pattern);
        }
        RouteCounts::default().count(&metrics, "BREW", 404, Duration::ZERO, || None);
        metrics.count_refusal("not_found");
        metrics.count_refresh(RefreshOutcome::Grace);
        metrics.count_login(LoginOutcome::Throttled(FailureLimit::Account(10)));
        let snapshot = Snapshot {
            hashing_queued: 1,
            hashing_in_progress: 2,
            connections_idle: 3,
            connections_busy: 4,
            database_queued: 5,
            audit_lines_dropped: 6,
            signing_keys: vec![SigningKeyAge { kid: "k".to_owned(), algorithm: "ES256", state: "active", seconds: 60 }],
        };
        let text = metrics.render(&snapshot, Format::OpenMetrics);
        for line in [
            &format!("jeton_build_info{{version=\"{VERSION}\",commit=\"{COMMIT}\"}} 1"),
            "jeton_http_requests_total{method=\"GET\",route=\"/api/v1/auth/me\",status=\"200\"} 2",
            "jeton_http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\"} 1",
            "jeton_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/api/v1/auth/me\"} 2",
            "jeton_refusals_total{code=\"not_found\"} 1",
            "jeton_refresh_total{outcome=\"grace\"} 1",
            "jeton_password_checks_total{outcome=\"account_throttled\"} 1",
            "jeton_password_checks_total{outcome=\"right\"} 0",
            "jeton_hashing_queue_length 1",
            "jeton_hashing_in_progress 2",
            "jeton_db_pool_connections{state=\"idle\"} 3",
            "jeton_db_pool_connections{state=\"busy\"} 4",
            "jeton_db_queue_length 5",
            "jeton_audit_lines_dropped_total 6",
            "jeton_signing_key_age_seconds{kid=\"k\",algorithm=\"ES256\",state=\"active\"} 60",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let plain = metrics.render(&snapshot, Format::Text);
        let samples =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(&plain), samples(&text));
        for line in [
            "# TYPE jeton_build_info gauge",
            "# HELP jeton_refresh_total Refresh tokens presented, by what came of it.",
            "# TYPE jeton_refresh_total counter",
            "# TYPE jeton_http_request_duration_seconds histogram",
            "# TYPE jeton_hashing_queue_length gauge",
        ] {
            assert!(plain.lines().any(|found| found == line), "{line} is not in\n{plain}");
        }
        assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
    }

    #[test]
    fn a_key_that_is_gone_is_no_longer_shown() {
        let metrics = Metrics::default();
        let key = SigningKeyAge { kid: "gone".to_owned(), algorithm: "ES256", state: "active", seconds: 1 };
        assert!(
            metrics.render(&Snapshot { signing_keys: vec![key], ..Snapshot::default() }, Format::Text).contains("gone")
        );
        assert!(!metrics.render(&Snapshot::default(), Format::Text).contains("gone"));
    }
}
