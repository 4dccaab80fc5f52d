//! Who has a page open, by the refresh cookie. What a page asks for stands in its handler's signature:
//! [`Visitor<ReadApiKeys>`].

use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;
use secrecy::ExposeSecret;

use crate::domain::actor::Who;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::{Refusal, TenantId};
use crate::extract::app;
use crate::extract::client::Client;
use crate::extract::principal::{RequiredScope, SignedIn};
use crate::extract::refresh_cookie::navigations_refresh_cookie;
use crate::grants;
use crate::grants::bearer::noted_of_session;
use crate::grants::resume::{Renewed, Resumed};

/// A user with a living session who holds what `A` asks for.
pub struct Visitor<A = Anyone> {
    signed_in: Rc<SignedIn>,
    access: PhantomData<A>,
}

/// What a page asks of whoever opens it.
pub trait Access {
    /// Refuses those who lack it.
    fn ensure(signed_in: &SignedIn) -> Result<(), Refusal>;
}

/// Nothing but a session.
pub struct Anyone;

impl Access for Anyone {
    fn ensure(_: &SignedIn) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<S: RequiredScope> Access for S {
    fn ensure(signed_in: &SignedIn) -> Result<(), Refusal> {
        signed_in.ensure_scope(S::SCOPE)
    }
}

/// The successor of the cookie that a request came with, for its answer: see [`super::frame`].
pub struct NewCookie(pub Renewed);

impl<A> Visitor<A> {
    /// The tenant that the session is for: no page names another.
    pub fn tenant(&self) -> TenantId {
        self.signed_in.member.tenant.id
    }

    /// What the forms of the session are signed for.
    pub fn forms(&self) -> String {
        forms_of(&self.signed_in)
    }
}

impl<A> Deref for Visitor<A> {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.signed_in
    }
}

impl<A: Access + 'static> FromRequest for Visitor<A> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let signed_in = resume(&request).await?;
            let SignedIn { member, session, actor, .. } = &*signed_in;
            noted_of_session(app(&request)?, actor, member, *session, A::ensure(&signed_in))?;
            Ok(Self { signed_in, access: PhantomData })
        })
    }
}

/// What the forms of a session are signed for.
pub fn forms_of(signed_in: &SignedIn) -> String {
    format!("session {}", signed_in.session)
}

/// The session of the cookie. Who it is stays with the request, so that a refusal too is shown on a page of theirs.
async fn resume(request: &HttpRequest) -> Result<Rc<SignedIn>, Refusal> {
    let app = app(request)?;
    let client = Client::extract(request).await?.0;
    let token = navigations_refresh_cookie(request)?.ok_or(Refusal::InvalidRefreshToken)?;
    let token = RefreshToken::parse(token.expose_secret()).ok_or(Refusal::InvalidRefreshToken)?;
    let Resumed { session, member, renewed } = grants::resume::resume(app, token, &client).await?;
    if let Some(renewed) = renewed {
        request.extensions_mut().insert(NewCookie(renewed));
    }
    let scopes = app.profile.roles.scopes(&member.role, member.user.operator);
    let mut actor = client.known_as(Who::User(member.user.id));
    actor.holds = Some(scopes.clone());
    let signed_in = Rc::new(SignedIn { member, session: session.id, scopes, actor });
    request.extensions_mut().insert(Rc::clone(&signed_in));
    Ok(signed_in)
}
