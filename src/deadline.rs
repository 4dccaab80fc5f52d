//! By when a request is answered, however often it waits on its way (security section 3; ADR 28).

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a request may take, and where there is none, on the command line and in the background, each wait for the
/// database: an answer within 3 s, and half a second of that for a commit that is under way.
pub const PATIENCE: Duration = Duration::from_millis(2_500);

tokio::task_local! {
    /// Of the request that this task works on.
    static DEADLINE: Cell<Instant>;
}

/// Works on a request, which has [`PATIENCE`] from now on.
pub fn of_request<F: Future>(work: F) -> impl Future<Output = F::Output> {
    within(PATIENCE, work)
}

/// The same with another patience.
pub fn within<F: Future>(patience: Duration, work: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(Cell::new(Instant::now() + patience), work)
}

/// What is begun in a task of its own has the time that is left here.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let deadline = in_request();
    async move {
        match deadline {
            Some(deadline) => DEADLINE.scope(Cell::new(deadline), work).await,
            None => work.await,
        }
    }
}

/// What others take their time for, such as a client that sends its body, is not counted.
pub async fn uncounted<F: Future>(work: F) -> F::Output {
    let begun = Instant::now();
    let done = work.await;
    // Where there is no request, there is nothing to put off.
    let _ = DEADLINE.try_with(|deadline| deadline.set(deadline.get() + begun.elapsed()));
    done
}

/// A part of a request that has as much time as a whole one: what is done already, and only has to go on or to be told,
/// is not broken off for want of it.
pub async fn apart<F: Future>(work: F) -> F::Output {
    uncounted(of_request(work)).await
}

/// When a wait that begins now ends.
#[must_use]
pub fn of_wait() -> Instant {
    in_request().unwrap_or_else(|| Instant::now() + PATIENCE)
}

/// The same; none where there is no request.
#[must_use]
pub fn in_request() -> Option<Instant> {
    DEADLINE.try_with(Cell::get).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn the_waits_of_a_request_end_together_and_those_of_others_do_not_count() {
        let pause = Duration::from_millis(20);
        assert!(in_request().is_none());
        of_request(async {
            let first = of_wait();
            tokio::time::sleep(pause).await;
            assert_eq!(of_wait(), first);
            let elsewhere = tokio::spawn(carried(async { of_wait() })).await.unwrap();
            assert_eq!(elsewhere, first);
            uncounted(tokio::time::sleep(pause)).await;
            assert!(of_wait() >= first + pause);
            assert!(apart(async { of_wait() }).await > of_wait());
        })
        .await;
    }
}
