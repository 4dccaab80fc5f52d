//! What five products promise their customers, sentence by sentence, through a real proxy; and the proxies themselves.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and owns the server that it talks to"
)]

mod bloomreach;
mod braze;
mod engagetrack;
mod engium;
#[expect(dead_code, unused_imports, reason = "it is made for `tests/api`, which uses all of it")]
#[path = "../api/harness/mod.rs"]
mod harness;
mod http;
mod optimove;
mod product;
mod proxies;
mod proxy;
mod stand_in;
mod upstream;
