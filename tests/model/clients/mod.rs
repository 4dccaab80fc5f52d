//! What the clients of a run do: each thread chooses by its own numbers, so that a seed chooses the same again.

mod keys;
mod sessions;

use std::{
    sync::{Mutex, MutexGuard},
    thread,
    time::Duration,
};

use crate::{
    harness::Client,
    log::{Act, Reply},
    rng::Rng,
    world::{Body, Person, Tenant, World},
};

/// Sessions and keys that are held at a time; what is beyond is forgotten.
const HELD: usize = 24;

#[derive(Clone, Copy)]
enum Step {
    Login,
    WrongLogin,
    Refresh(Which),
    Tabs,
    Hammer,
    Logout,
    LogoutAll,
    Exchange,
    CreateKey,
    CreateKeyOnce,
    RevokeKey,
    RotateKey,
    CreateGroup,
    DeleteGroup,
    Suspend,
    Disable,
    Jwks,
}

/// Which of a session's tokens is presented.
#[derive(Clone, Copy)]
enum Which {
    Current,
    Previous,
    Old,
}

/// How often each is done.
const STEPS: [(usize, Step); 19] = [
    (90, Step::Login),
    (4, Step::WrongLogin),
    (220, Step::Refresh(Which::Current)),
    (90, Step::Refresh(Which::Previous)),
    (12, Step::Refresh(Which::Old)),
    (60, Step::Tabs),
    (6, Step::Hammer),
    (30, Step::Logout),
    (6, Step::LogoutAll),
    (230, Step::Exchange),
    (70, Step::CreateKey),
    (30, Step::CreateKeyOnce),
    (40, Step::RevokeKey),
    (30, Step::RotateKey),
    (8, Step::CreateGroup),
    (5, Step::DeleteGroup),
    (4, Step::Suspend),
    (4, Step::Disable),
    (20, Step::Jwks),
];

/// One client, until the run is over.
pub fn run(world: &World, number: u64) {
    let mut rng = Rng::new(world.seed, number);
    while !world.is_over() {
        let step = rng.weighted(&STEPS);
        Caller { world, rng: &mut rng }.take(step);
    }
}

struct Caller<'a> {
    world: &'a World,
    rng: &'a mut Rng,
}

impl<'a> Caller<'a> {
    fn take(&mut self, step: Step) {
        // Nothing to do it with: then the next step makes something, or finds something.
        let _: Option<()> = match step {
            Step::Login => self.log_in(),
            Step::WrongLogin => self.log_in_wrongly(),
            Step::Refresh(which) => self.refresh(which),
            Step::Tabs => self.refresh_in_tabs(),
            Step::Hammer => self.hammer(),
            Step::Logout => self.log_out(),
            Step::LogoutAll => self.log_out_everywhere(),
            Step::Exchange => self.exchange(),
            Step::CreateKey => self.create_key(),
            Step::CreateKeyOnce => self.create_key_once(),
            Step::RevokeKey => self.revoke_key(),
            Step::RotateKey => self.rotate_key(),
            Step::CreateGroup => self.create_group(),
            Step::DeleteGroup => self.delete_group(),
            Step::Suspend => self.suspend(),
            Step::Disable => self.disable(),
            Step::Jwks => self.fetch_jwks(),
        };
    }

    fn client(&mut self) -> &'a Client {
        self.world.client(self.rng)
    }

    fn tenant(&mut self) -> (usize, &'a Tenant) {
        let number = self.rng.below(self.world.tenants.len());
        (number, &self.world.tenants[number])
    }

    /// A call in an administrator's name, whose token is thrown away where it is refused.
    fn manage(
        &mut self,
        person: &Person,
        act: Act,
        method: &str,
        path: &str,
        once: Option<&str>,
        body: Body,
    ) -> Option<Reply> {
        let token = self.world.token(self.rng, person)?;
        let mut request = self.client().call(method, path).bearer(&token);
        if let Some(once) = once {
            request = request.header("Idempotency-Key", once);
        }
        let reply = self.world.ask(act, request, body);
        if reply.as_ref().is_some_and(|reply| matches!(reply.status, 401 | 403)) {
            *person.token.lock().expect("nobody panics with it") = None;
        }
        reply
    }

    /// Suspends a tenant and, after a while, resumes it; each until it is answered.
    fn suspend(&mut self) -> Option<()> {
        let (_, tenant) = self.tenant();
        let _governor = tenant.governor.try_lock().ok()?;
        let suspend = Act::Suspend { tenant: tenant.id.clone() };
        let resume = Act::Resume { tenant: tenant.id.clone() };
        for (act, word) in [(suspend, "suspend"), (resume, "resume")] {
            if self.rng.chance(20) {
                self.until_done(|caller| caller.world.command(act.clone(), ["tenant", word, &tenant.id]));
            } else {
                let path = path(tenant, word);
                let operator = &self.world.operator;
                self.until_done(|caller| caller.manage(operator, act.clone(), "POST", &path, None, Body::None));
            }
            thread::sleep(Duration::from_millis(30));
        }
        Some(())
    }

    fn disable(&mut self) -> Option<()> {
        let people = self.world.people();
        let person = self.rng.pick(&people)?;
        let _governor = person.governor.try_lock().ok()?;
        let disable = Act::Disable { user: person.id.clone() };
        let enable = Act::Enable { user: person.id.clone() };
        for (act, word) in [(disable, "disable"), (enable, "enable")] {
            self.until_done(|caller| caller.world.command(act.clone(), ["user", word, &person.email]));
            thread::sleep(Duration::from_millis(30));
        }
        Some(())
    }

    /// Whoever has begun something goes on until it is answered, even when the run is over.
    fn until_done(&mut self, mut attempt: impl FnMut(&mut Self) -> Option<Reply>) {
        for _ in 0..1_000 {
            if attempt(self).is_some_and(|reply| reply.status < 300) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("what an operator asks for is done at last");
    }

    fn fetch_jwks(&mut self) -> Option<()> {
        self.world.ask(Act::Jwks, self.client().get("/.well-known/jwks.json"), Body::None).map(drop)
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nobody panics with it")
}

/// Keeps something; where there is much of it, another one is forgotten.
fn hold<T>(among: &Mutex<Vec<T>>, new: T, rng: &mut Rng) {
    let mut among = held(among);
    if among.len() >= HELD {
        let forgotten = rng.below(among.len());
        among.swap_remove(forgotten);
    }
    among.push(new);
}

fn path(tenant: &Tenant, rest: &str) -> String {
    format!("/api/v1/tenants/{}/{rest}", tenant.id)
}
