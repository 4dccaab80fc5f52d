//! What is refused, on the page where it was asked for: each fault beside its field, in the words of the contract.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use askama::Template;

use super::page::render;
use super::texts;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::refusal::FieldError;
use crate::error::retry_after;

/// What is wrong with a form that was sent; nothing, for one that was not.
#[derive(Default)]
pub struct Refused {
    /// By field.
    pub faults: Vec<FieldError>,
    /// What belongs to no field.
    pub whole: Option<String>,
    outcome: Option<Outcome>,
}

/// What of a refusal is not told in words.
struct Outcome {
    status: StatusCode,
    code: &'static str,
    retry_after: Option<u32>,
}

impl Refused {
    /// What a form is told.
    ///
    /// # Errors
    /// What a form cannot help with, and a page of its own explains: no session, a form that is not ours, something
    /// that is not there.
    pub fn of(refusal: Refusal) -> Result<Self, Refusal> {
        let (status, code) = refusal.status_and_code();
        let outcome = Some(Outcome { status, code, retry_after: retry_after(&refusal) });
        match refusal {
            Refusal::ValidationFailed(faults) => Ok(Self { faults, outcome, whole: None }),
            Refusal::InvalidToken
            | Refusal::InvalidRefreshToken
            | Refusal::RefreshTokenReused
            | Refusal::StaleForm
            | Refusal::OriginNotAllowed
            | Refusal::NotFound => Err(refusal),
            other => Ok(Self { whole: Some(in_our_words(&other)), outcome, faults: Vec::new() }),
        }
    }

    /// What is wrong with a form that was not sent yet: a link has filled it in.
    pub fn beforehand(field: &str, message: &str) -> Self {
        let fault = FieldError { field: field.to_owned(), message: message.to_owned() };
        Self { faults: vec![fault], ..Self::default() }
    }

    /// The same, with a fault of the whole in other words.
    pub fn in_words(self, words: impl Into<String>) -> Self {
        Self { whole: Some(words.into()), ..self }
    }

    /// Answers with the page that shows it, and counts what was refused.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn answer(&self, app: &App, page: &impl Template) -> Result<HttpResponse, Refusal> {
        let Some(Outcome { status, code, retry_after }) = self.outcome else { return render(StatusCode::OK, page) };
        let mut answer = render(status, page)?;
        app.metrics.count_refusal(code);
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Ok(answer)
    }

    /// What is wrong with a field.
    pub fn at(&self, field: &str) -> Option<&str> {
        self.faults.iter().find(|fault| fault.field == field).map(|fault| fault.message.as_str())
    }

    /// Whether anything is wrong.
    pub fn any(&self) -> bool {
        self.whole.is_some() || !self.faults.is_empty()
    }
}

/// What is refused, with the word that customers know for a tenant; a name that has it in it stays as it is.
pub fn in_our_words(refusal: &Refusal) -> String {
    let told = refusal.to_string();
    let words = told.split(' ').map(|word| match word.trim_end_matches([',', ';', ':', '.']) {
        "tenant" | "tenants" | "tenant's" => word.replacen("tenant", "organisation", 1),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A field's name for people, as its label has it; one without a label in words: `some_field` is `Some field`.
pub fn spoken(field: &str) -> String {
    let (key, audit) = (&texts::EN.create_key, &texts::EN.audit);
    let label = match field {
        "access_type" => key.access_type,
        "allowed_ips" => key.allowed_ips,
        "constraints" => key.constraints,
        "contact_email" => key.contact_email,
        "email" => texts::EN.users.email,
        "expires_at" => key.expires,
        "group_id" => key.group,
        "overlap_seconds" => texts::EN.rotate_key.overlap,
        "scopes" => key.scopes,
        "since" => audit.since,
        "until" => audit.until,
        _ => return in_words(field),
    };
    label.to_owned()
}

fn in_words(field: &str) -> String {
    let words = field.replace(['_', '-', '.'], " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::in_our_words;
    use crate::domain::Refusal;

    #[test]
    fn a_tenant_is_an_organisation_and_names_stay() {
        for (refusal, told) in [
            (Refusal::TenantSuspended, "This organisation is suspended"),
            (Refusal::TenantRequired(Vec::new()), "The header X-Tenant-ID with the organisation's UUID is required"),
            (
                Refusal::MalformedRequest("Lacks tenants:write of https://tenant.example for tenants: a".to_owned()),
                "Lacks tenants:write of https://tenant.example for organisations: a",
            ),
        ] {
            assert_eq!(in_our_words(&refusal), told);
        }
    }
}
