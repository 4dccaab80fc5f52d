//! Logins, refreshes and logouts.

use serde_json::json;

use super::{Body, Caller, Which, held, hold};
use crate::{
    harness::{Client, at_once},
    log::{Act, Reply, generation},
    world::Session,
};

impl Caller<'_> {
    pub fn log_in(&mut self) -> Option<()> {
        let people = self.world.people();
        let person = self.rng.pick(&people)?;
        let session = self.world.login(self.rng, person)?;
        hold(&self.world.sessions, session, self.rng);
        Some(())
    }

    pub fn log_in_wrongly(&mut self) -> Option<()> {
        let people = self.world.people();
        let email = &self.rng.pick(&people)?.email;
        let body = json!({"email": email, "password": "another-Meadow-2209-kettle"});
        let request = self.client().post("/api/v1/auth/login");
        self.world.ask(Act::WrongLogin, request, Body::Json(body)).map(drop)
    }

    pub fn refresh(&mut self, which: Which) -> Option<()> {
        let session = self.session()?;
        let back = match which {
            Which::Current => 1,
            Which::Previous => 2,
            Which::Old => 3 + self.rng.below(2),
        };
        let token = session.tokens.get(session.tokens.len().checked_sub(back)?)?.clone();
        self.present(&token);
        Some(())
    }

    /// The predecessor more often than the grace allows.
    pub fn hammer(&mut self) -> Option<()> {
        let session = self.session()?;
        let token = session.tokens.get(session.tokens.len().checked_sub(2)?)?;
        for _ in 0..13 {
            self.present(token);
        }
        Some(())
    }

    /// The same token from several tabs at once.
    pub fn refresh_in_tabs(&mut self) -> Option<()> {
        let session = self.session()?;
        let token = session.tokens.last()?;
        let tabs: Vec<_> = (0..3).map(|_| (self.client(), self.rng.chance(70))).collect();
        for reply in at_once(tabs.len(), |tab| self.ask_for_successor(tabs[tab], token)) {
            self.hold_successor(reply.as_ref());
        }
        Some(())
    }

    pub fn log_out(&mut self) -> Option<()> {
        let session = self.session()?;
        let act = Act::Logout { session: session.id.clone() };
        let token = self.rng.pick(&session.tokens)?.clone();
        let by_oauth = self.rng.chance(40);
        if by_oauth {
            self.world.ask(act, self.client().post("/oauth2/revoke"), Body::Form(vec![("token", token)])).map(drop)
        } else {
            let body = Body::Json(json!({"refresh_token": token}));
            self.world.ask(act, self.client().post("/api/v1/auth/logout"), body).map(drop)
        }
    }

    pub fn log_out_everywhere(&mut self) -> Option<()> {
        let session = self.session()?;
        let request = self.client().post("/api/v1/auth/logout-all").bearer(&session.access_token);
        self.world.ask(Act::LogoutAll { user: session.user }, request, Body::None).map(drop)
    }

    fn session(&mut self) -> Option<Session> {
        self.rng.pick(&held(&self.world.sessions)).cloned()
    }

    /// Presents a refresh token, and remembers what comes.
    fn present(&mut self, token: &str) {
        let door = (self.client(), self.rng.chance(70));
        let reply = self.ask_for_successor(door, token);
        self.hold_successor(reply.as_ref());
    }

    /// Presents a refresh token on a server, at one of its two doors.
    fn ask_for_successor(&self, (client, own_door): (&Client, bool), token: &str) -> Option<Reply> {
        let (session, generation) = generation(token);
        let act = Act::Refresh { session, generation };
        if own_door {
            let body = Body::Json(json!({"refresh_token": token}));
            self.world.ask(act, client.post("/api/v1/auth/refresh"), body)
        } else {
            let form = vec![("grant_type", "refresh_token".into()), ("refresh_token", token.into())];
            self.world.ask(act, client.post("/oauth2/token"), Body::Form(form))
        }
    }

    fn hold_successor(&self, reply: Option<&Reply>) {
        let Some((token, access)) = reply.and_then(tokens) else { return };
        let (id, _) = generation(&token);
        let mut sessions = held(&self.world.sessions);
        if let Some(session) = sessions.iter_mut().find(|known| known.id == id)
            && !session.tokens.contains(&token)
        {
            session.tokens.push(token);
            session.access_token = access;
        }
    }
}

fn tokens(reply: &Reply) -> Option<(String, String)> {
    let member = |name: &str| reply.body[name].as_str().map(str::to_owned);
    Some((member("refresh_token")?, member("access_token")?))
}
