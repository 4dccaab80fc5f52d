//! `#[both_databases]`: one promise, kept on SQLite and on PostgreSQL.

use proc_macro::{TokenStream, TokenTree};

/// Runs `fn name(jeton: Jeton)` as the tests `name::sqlite` and `name::postgres`.
///
/// The function itself is passed on untouched, so that the compiler's messages point into it.
#[proc_macro_attribute]
pub fn both_databases(_attributes: TokenStream, function: TokenStream) -> TokenStream {
    let Some(name) = name_of(&function) else {
        return "compile_error!(\"#[both_databases] stands on a function\");".parse().unwrap_or_default();
    };
    let tests = format!(
        "mod {name} {{
            #[test]
            fn sqlite() {{ super::{name}(crate::harness::Jeton::on_sqlite()); }}
            #[test]
            fn postgres() {{ if let Some(jeton) = crate::harness::Jeton::on_postgres() {{ super::{name}(jeton); }} }}
        }}"
    );
    let tests: TokenStream = tests.parse().unwrap_or_default();
    [function, tests].into_iter().collect()
}

/// The identifier after `fn`.
fn name_of(function: &TokenStream) -> Option<String> {
    let mut tokens = function.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    tokens.next().map(|name| name.to_string())
}
