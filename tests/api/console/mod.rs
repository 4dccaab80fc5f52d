//! The console over HTTP: sessions, forms, and what it never does.

mod browser;
mod forms;
mod keys;
mod laws;
mod people;
mod queries;
mod rights;
mod sessions;

pub use browser::{Browser, form_token};
