//! What is refused, on the page where it was asked for: each fault beside its field, in the words of the contract.

use actix_web::http::StatusCode;

use super::texts;
use crate::domain::Refusal;
use crate::domain::refusal::FieldError;

/// What is wrong with a form that was sent; nothing, for one that was not.
#[derive(Default)]
pub struct Refused {
    /// By field.
    pub faults: Vec<FieldError>,
    /// What belongs to no field.
    pub whole: Option<String>,
    status: Option<StatusCode>,
}

impl Refused {
    /// What a form is told.
    ///
    /// # Errors
    /// What a form cannot help with, and a page of its own explains: no session, a form that is not ours, something
    /// that is not there.
    pub fn of(refusal: Refusal) -> Result<Self, Refusal> {
        let status = Some(refusal.status_and_code().0);
        match refusal {
            Refusal::ValidationFailed(faults) => Ok(Self { faults, status, whole: None }),
            Refusal::InvalidToken
            | Refusal::InvalidRefreshToken
            | Refusal::RefreshTokenReused
            | Refusal::StaleForm
            | Refusal::OriginNotAllowed
            | Refusal::NotFound => Err(refusal),
            other => Ok(Self { whole: Some(in_our_words(&other)), status, faults: Vec::new() }),
        }
    }

    /// The same, with a fault of the whole in other words.
    pub fn in_words(self, words: impl Into<String>) -> Self {
        Self { whole: Some(words.into()), ..self }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or(StatusCode::OK)
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

/// What is refused, with the word that customers know for a tenant.
pub fn in_our_words(refusal: &Refusal) -> String {
    refusal.to_string().replace("tenant", "organisation")
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
