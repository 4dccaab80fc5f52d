//! Every word of the console, in one place: templates name texts and contain none. Another language is another
//! [`Texts`], and the compiler says what is missing in it.

mod account;
mod groups;
mod key_pages;
mod keys;
mod layout;
mod operating;
mod people;
mod sign_in;

pub use self::account::{Account, Organisations};
pub use self::groups::{Apps, Groups, Issuers, Plan};
pub use self::key_pages::{CreateKey, CreatedKey, RevokeKey, RotateKey, ShowKey};
pub use self::keys::Keys;
pub use self::layout::{Errors, Form, Layout, Nav, Table, Time};
pub use self::operating::{SigningKeys, Tenants};
pub use self::people::{Audit, Choices, Users};
pub use self::sign_in::SignIn;

/// Declares the texts of one page: a struct of them, and what they are in English.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        pub struct $name {
            $(pub $field: &'static str,)+
        }

        impl $name {
            pub const EN: Self = Self { $($field: $text,)+ };
        }
    )+};
}

use texts;

/// The console in one language.
pub struct Texts {
    /// The language, as `lang` has it (BCP 47).
    pub lang: &'static str,
    pub layout: Layout,
    pub nav: Nav,
    pub form: Form,
    pub table: Table,
    pub time: Time,
    pub errors: Errors,
    pub sign_in: SignIn,
    pub account: Account,
    pub organisations: Organisations,
    pub keys: Keys,
    pub create_key: CreateKey,
    pub created_key: CreatedKey,
    pub show_key: ShowKey,
    pub rotate_key: RotateKey,
    pub revoke_key: RevokeKey,
    pub groups: Groups,
    pub apps: Apps,
    pub issuers: Issuers,
    pub users: Users,
    pub audit: Audit,
    pub plan: Plan,
    pub choices: Choices,
    pub tenants: Tenants,
    pub signing_keys: SigningKeys,
}

/// English.
pub static EN: Texts = Texts {
    lang: "en",
    layout: Layout::EN,
    nav: Nav::EN,
    form: Form::EN,
    table: Table::EN,
    time: Time::EN,
    errors: Errors::EN,
    sign_in: SignIn::EN,
    account: Account::EN,
    organisations: Organisations::EN,
    keys: Keys::EN,
    create_key: CreateKey::EN,
    created_key: CreatedKey::EN,
    show_key: ShowKey::EN,
    rotate_key: RotateKey::EN,
    revoke_key: RevokeKey::EN,
    groups: Groups::EN,
    apps: Apps::EN,
    issuers: Issuers::EN,
    users: Users::EN,
    audit: Audit::EN,
    plan: Plan::EN,
    choices: Choices::EN,
    tenants: Tenants::EN,
    signing_keys: SigningKeys::EN,
};

/// A text with a gap, `{}`.
pub trait Gap {
    /// Fills the gap.
    fn with(&self, what: impl std::fmt::Display) -> String;
}

impl Gap for &str {
    fn with(&self, what: impl std::fmt::Display) -> String {
        self.replacen("{}", &what.to_string(), 1)
    }
}
