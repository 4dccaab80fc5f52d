//! What happens while Jeton is away, and while it goes.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use jeton_test_macros::both_databases;

use super::{data, expect_no_trace, products};
use crate::harness::Jeton;

/// > While Jeton is away everything is 503.
#[both_databases]
fn nothing_passes_while_jeton_is_away(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["goals:read"]);
        let call = || product.get(data(&tenant, "goals")).bearer(&key.key);
        product.admits(call());

        jeton.stop();
        let answer = product.refuses(call(), 503, "unavailable");
        assert_eq!(answer.header("Retry-After"), Some("1"));
        product.refuses(product.get(data(&tenant, "goals")), 503, "unavailable");
        product.refuses(product.post(data(&tenant, "goals")).bearer(&key.key).with_body("x"), 503, "unavailable");

        assert!(product.get("/.well-known/jwks.json").send().status >= 500, "nor does anything of Jeton's own");

        jeton.start();
        product.admits(call());
        product.get("/.well-known/jwks.json").send().expect_status(200);
    }
}

/// A SIGTERM of Jeton under calls: each is answered as before or with 503, and none gets past it.
#[both_databases]
fn nothing_leaks_while_jeton_goes(jeton: Jeton) {
    for product in products(&jeton) {
        let keys: Vec<_> = (0..4)
            .map(|_| {
                let tenant = product.tenant_on("growth");
                let key = tenant.api_key(["goals:read"]);
                (data(&tenant, "goals"), key)
            })
            .collect();
        let (statuses, gone) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let call = |path: &str, key: &str| {
            let status = product.get(path).bearer(key).send().status;
            statuses.lock().expect("nobody panics with it").push(status);
        };
        thread::scope(|scope| {
            for (path, key) in &keys {
                let (call, gone) = (&call, &gone);
                scope.spawn(move || {
                    while !gone.load(Ordering::Relaxed) {
                        call(path, &key.key);
                    }
                    call(path, &key.key);
                });
            }
            while statuses.lock().expect("nobody panics with it").len() < 40 {
                thread::sleep(Duration::from_millis(1));
            }
            let ended = jeton.stop();
            gone.store(true, Ordering::Relaxed);
            assert!(ended.success(), "it ends well");
        });

        let statuses = statuses.into_inner().expect("nobody panics with it");
        assert!(statuses.iter().all(|status| [200, 429, 503].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&200) && statuses.contains(&503), "some before, some after: {statuses:?}");
        let requests = product.upstream.requests();
        let passed = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(requests.len(), passed, "what reaches the API was admitted");
        for (_, key) in &keys {
            expect_no_trace(&product, key);
        }
        for request in requests {
            let token = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
            jeton.verified(token.expect("a token"));
        }
    }
}
