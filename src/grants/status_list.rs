//! The status lists: what downstream services, which never ask us about a token, must refuse all the same
//! (draft-ietf-oauth-status-list-21; ADR 10).

use std::sync::Arc;

use crate::app::App;
use crate::db::statuses;
use crate::deadline;
use crate::domain::Refusal;
use crate::domain::status_list::ListNumber;
use crate::tokens::status_list::{Ended, StatusList, StatusListToken};

/// A list of what is committed when this begins: a revocation that was answered before is in it, whichever server did
/// it. While no connection to the database can be made it is the last one that was signed, until its `exp`; a database
/// that is only slow may have taken revocations meanwhile.
///
/// # Errors
/// [`Refusal::NotFound`] for a list that no token points to; [`Refusal::Unavailable`].
pub async fn current(app: &App, number: ListNumber) -> Result<Arc<StatusListToken>, Refusal> {
    match in_time(signed(app, number)).await {
        Err(refusal) if refusal.is_fault_of_ours() && !app.db.is_connected() => {
            app.status_lists.signed(number).filter(|last| last.lives(app.now())).ok_or(refusal)
        }
        answer => answer,
    }
}

/// The URIs of all lists (section 9).
///
/// # Errors
/// [`Refusal::Unavailable`].
pub async fn all(app: &App) -> Result<Vec<String>, Refusal> {
    let (found, _turn) = in_time(app.status_lists.read(async || read(app).await)).await?;
    Ok(ListNumber::before(found.next).map(|number| number.uri(base(app))).collect())
}

/// Waits for another's read and one's own no longer than the request may take.
async fn in_time<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout_at(deadline::of_wait().into(), work).await.unwrap_or(Err(Refusal::Unavailable))
}

async fn signed(app: &App, number: ListNumber) -> Result<Arc<StatusListToken>, Refusal> {
    let (found, _turn) = app.status_lists.read(async || read(app).await).await?;
    if !ListNumber::before(found.next).any(|list| list == number) {
        return Err(Refusal::NotFound);
    }
    let now = app.now();
    let ended: Vec<_> = found.ended.iter().copied().filter(|index| index.list() == number).collect();
    let is_good =
        |last: &Arc<StatusListToken>| last.says(&ended, now) && app.keyring.keys().published(&last.kid).is_some();
    if let Some(last) = app.status_lists.signed(number).filter(is_good) {
        return Ok(last);
    }
    let uri = number.uri(base(app));
    let list =
        tokio::task::spawn_blocking(move || StatusList::of(uri, ended)).await.unwrap_or(Err(Refusal::Internal))?;
    let token = Arc::new(list.sign(&app.issuer, &app.config.revocations, now)?);
    app.status_lists.keep(number, &token);
    Ok(token)
}

async fn read(app: &App) -> Result<Ended, Refusal> {
    let (now, longest) = (app.now(), app.config.longest_signed());
    app.db
        .read(move |connection| {
            let since = statuses::listed_since(connection, longest, now)?;
            // First how far places were given: of each of those that are read then, its list is known.
            let next = statuses::next(connection)?;
            Ok(Ended { ended: statuses::ended(connection, since, now)?, next })
        })
        .await
}

fn base(app: &App) -> &str {
    app.config.server.public_url.issuer().trim_end_matches('/')
}
