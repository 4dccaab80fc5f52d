//! What is asked while others of its kind are under way waits for them, and is then answered together: where each
//! journey to the database costs more than one row more.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{DbError, LEAST};

/// Questions that wait, or are answered at once, at most.
pub const MOST: usize = 4_096;

/// How much sooner than others one must be answered to be watched: those whose requests began together are not.
const SOONER: Duration = Duration::from_millis(100);

/// Where questions of one kind wait for those before them.
pub struct Together<Q, A> {
    waiting: Arc<Mutex<Waiting<Q, A>>>,
    /// Groups of questions that may be under way.
    groups: usize,
    /// Where they are answered. A worker's own runtime ends with its connections, and others may wait for the answers.
    runtime: Handle,
}

struct Waiting<Q, A> {
    asked: Vec<Asked<Q, A>>,
    /// Those who answer, and will answer what is asked meanwhile.
    at_work: usize,
    /// How many were asked.
    count: u64,
    /// By when all who were asked until now are answered.
    latest: Instant,
}

struct Asked<Q, A> {
    number: u64,
    question: Q,
    deadline: Instant,
    reply: oneshot::Sender<Result<A, DbError>>,
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// Nothing is asked yet; up to so many groups of questions are answered side by side.
    pub fn new(groups: usize, runtime: Handle) -> Self {
        let waiting = Waiting { asked: Vec::new(), at_work: 0, count: 0, latest: Instant::now() };
        Self { waiting: Arc::new(Mutex::new(waiting)), groups, runtime }
    }

    /// Asks, and answers for all who ask, unless enough do already. `answer_all` is given questions, each asked before
    /// it begins, and when the first of them is tired of waiting; it has an answer for each, in their order.
    ///
    /// # Errors
    /// Too many ask; what `answer_all` ends with.
    pub async fn ask<F>(
        &self,
        question: Q,
        answer_all: impl Fn(Vec<Q>, Instant) -> F + Send + 'static,
    ) -> Result<A, DbError>
    where
        F: Future<Output = Result<Vec<A>, DbError>> + Send + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let deadline = super::end_of_wait()?;
        let (number, has_room, is_sooner) = {
            let mut waiting = locked(&self.waiting);
            if waiting.asked.len() >= MOST {
                return Err(DbError::Overloaded);
            }
            waiting.count += 1;
            let number = waiting.count;
            waiting.asked.push(Asked { number, question, deadline, reply });
            let is_sooner = deadline + SOONER < waiting.latest;
            waiting.latest = waiting.latest.max(deadline);
            let has_room = waiting.at_work < self.groups;
            waiting.at_work += usize::from(has_room);
            (number, has_room, is_sooner)
        };
        if has_room {
            let worker = Worker { waiting: Arc::clone(&self.waiting), done: false };
            self.runtime.spawn(worker.run(answer_all));
        }
        // Else whoever is under way is done, or gives up, before this one's time is over.
        let nobody = |_| Err(DbError::Unavailable("nobody answers any more".to_owned()));
        if is_sooner {
            match tokio::time::timeout_at(deadline.into(), &mut answer).await {
                Ok(answered) => return answered.unwrap_or_else(nobody),
                Err(_) if locked(&self.waiting).forget(number) => return Err(DbError::out_of_time()),
                // Somebody is about it.
                Err(_) => {}
            }
        }
        answer.await.unwrap_or_else(nobody)
    }
}

impl<Q, A> Waiting<Q, A> {
    /// Takes a question back; false where somebody is about it.
    fn forget(&mut self, number: u64) -> bool {
        let before = self.asked.len();
        self.asked.retain(|asked| asked.number != number);
        self.asked.len() < before
    }
}

/// One who answers. However it ends, another one can take its place, and nobody is left waiting for it.
struct Worker<Q, A> {
    waiting: Arc<Mutex<Waiting<Q, A>>>,
    done: bool,
}

impl<Q, A> Worker<Q, A> {
    async fn run<F>(mut self, answer_all: impl Fn(Vec<Q>, Instant) -> F)
    where
        F: Future<Output = Result<Vec<A>, DbError>>,
    {
        while let Some(asked) = self.take() {
            let now = Instant::now();
            let (in_time, late): (Vec<_>, Vec<_>) = asked.into_iter().partition(|asked| now + LEAST <= asked.deadline);
            reply_all(late.into_iter().map(|asked| (asked.reply, Err(DbError::Overloaded))));
            let Some(first) = in_time.iter().map(|asked| asked.deadline).min() else { continue };
            let (questions, replies): (Vec<_>, Vec<_>) =
                in_time.into_iter().map(|asked| (asked.question, asked.reply)).unzip();
            match answer_all(questions, first).await {
                Ok(answers) => reply_all(replies.into_iter().zip(answers.into_iter().map(Ok))),
                Err(error) => reply_all(replies.into_iter().map(|reply| (reply, Err(error.clone())))),
            }
        }
    }

    /// What is asked until now; none where that is nothing, and then this one has answered for the last time.
    fn take(&mut self) -> Option<Vec<Asked<Q, A>>> {
        let mut waiting = locked(&self.waiting);
        self.done = waiting.asked.is_empty();
        if self.done {
            waiting.at_work -= 1;
            return None;
        }
        Some(mem::take(&mut waiting.asked))
    }
}

impl<Q, A> Drop for Worker<Q, A> {
    fn drop(&mut self) {
        if !self.done {
            let mut waiting = locked(&self.waiting);
            waiting.at_work -= 1;
            waiting.asked.clear();
        }
    }
}

fn reply_all<A>(answers: impl Iterator<Item = (oneshot::Sender<A>, A)>) {
    for (reply, answer) in answers {
        // Whoever asked may have gone away.
        drop(reply.send(answer));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::mpsc;

    use super::*;
    use crate::deadline;

    #[actix_web::test]
    async fn what_is_asked_meanwhile_is_answered_together() {
        let together = Together::<u32, u32>::new(1, Handle::current());
        let (tell, mut told) = mpsc::unbounded_channel();
        let ask = |question| {
            let tell = tell.clone();
            together.ask(question, move |questions, _| {
                tell.send(questions.len()).unwrap();
                async move {
                    tokio::task::yield_now().await;
                    Ok(questions.into_iter().map(|question| question * 2).collect())
                }
            })
        };
        let answers: Vec<_> = join_all((0..9).map(ask)).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(ask(50).await.unwrap(), 100);
        drop(tell);
        let mut groups = Vec::new();
        told.close();
        while let Some(group) = told.recv().await {
            groups.push(group);
        }
        assert!(groups.len() < 10, "{groups:?}");
        assert_eq!(groups.iter().sum::<usize>(), 10);
    }

    #[actix_web::test]
    async fn whoever_must_be_answered_sooner_does_not_wait_for_those_before() {
        let together = Together::<u32, u32>::new(1, Handle::current());
        let answer_all = |questions: Vec<u32>, _| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if questions.contains(&2) { Err(DbError::Conflict) } else { Ok(questions) }
        };
        // The first is under way when the others come.
        let later = || tokio::time::sleep(Duration::from_millis(50));
        let sooner = async {
            later().await;
            let begun = Instant::now();
            let answer = deadline::within(Duration::from_millis(300), together.ask(2, answer_all)).await;
            (answer, begun.elapsed())
        };
        let last = async {
            later().await;
            together.ask(3, answer_all).await
        };
        let (first, (second, took), third) = tokio::join!(together.ask(1, answer_all), sooner, last);
        assert!(matches!(second, Err(DbError::Unavailable(_))) && took < Duration::from_millis(900), "{took:?}");
        assert_eq!((first.unwrap(), third.unwrap()), (1, 3), "it is in no group");
    }

    #[actix_web::test]
    async fn an_error_is_for_its_group_and_a_panic_leaves_nobody_waiting() {
        let together = Together::<u32, u32>::new(1, Handle::current());
        let failed = together.ask(1, |_, _| async { Err(DbError::Conflict) }).await;
        assert!(matches!(failed, Err(DbError::Conflict)));
        let panicked = together.ask(1, |_, _| async { panic!("planted") }).await;
        assert!(matches!(panicked, Err(DbError::Unavailable(_))));
        assert_eq!(together.ask(1, |questions, _| async { Ok(questions) }).await.unwrap(), 1);
    }
}
