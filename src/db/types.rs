//! How domain types stand in columns, once for both databases.

use std::error::Error;
use std::str::FromStr;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Text};
use uuid::Uuid;

use crate::domain::audit_chain::Link;
use crate::domain::claim_conditions::ClaimConditions;
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::signing_key::KeyState;
use crate::domain::status_list::StatusIndex;
use crate::domain::{
    AccessTypeName, Algorithm, ApiKeyId, AppIdentifierId, Audience, AuditChainId, AuditEventId, Day, Email, InstanceId,
    KeyGroupId, Name, Role, Scopes, SessionId, TenantId, Timestamp, TrustedIssuerId, UserId,
};

/// Ids are stored as the 16 bytes of their UUID.
macro_rules! stored_as_uuid {
    ($($id:ty),+) => {$(
        impl<DB: Backend> ToSql<Binary, DB> for $id
        where
            [u8]: ToSql<Binary, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.as_bytes().as_slice().to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<Binary, DB> for $id
        where
            Vec<u8>: FromSql<Binary, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(Uuid::from_slice(&Vec::<u8>::from_sql(bytes)?)?.into())
            }
        }
    )+};
}

/// Whatever has a text form is stored in it, and read back from it by this function.
macro_rules! stored_as_text {
    ($read:expr; $($text:ty),+) => {$(
        impl<DB: Backend> ToSql<Text, DB> for $text
        where
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.as_str().to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<Text, DB> for $text
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                $read(String::from_sql(bytes)?)
            }
        }
    )+};
}

/// What is a number in the domain is one in the database.
macro_rules! stored_as_number {
    ($($number:ident),+) => {$(
        impl<DB: Backend> ToSql<BigInt, DB> for $number
        where
            i64: ToSql<BigInt, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.0.to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<BigInt, DB> for $number
        where
            i64: FromSql<BigInt, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                i64::from_sql(bytes).map(Self)
            }
        }
    )+};
}

stored_as_uuid!(
    ApiKeyId,
    AppIdentifierId,
    AuditChainId,
    AuditEventId,
    InstanceId,
    KeyGroupId,
    SessionId,
    TenantId,
    TrustedIssuerId,
    UserId
);
stored_as_number!(Day, StatusIndex, Timestamp);
stored_as_text!(
    |text: String| parsed(&text);
    AccessTypeName, Algorithm, Email, IpAllowList, IssuerUrl, KeyState, Role
);
// Checked by the rules of the day on which they were stored.
stored_as_text!(|text| Ok(Audience::stored(text)); Audience);
stored_as_text!(|text| Ok(Name::stored(text)); Name);
stored_as_text!(|text: String| Ok(ClaimConditions::stored(&text)?); ClaimConditions);
// Checked before they were stored, and too long to be checked again for every request.
stored_as_text!(|text| Ok(Constraints::stored(text)); Constraints);
stored_as_text!(|text| Ok(Scopes::stored(text)); Scopes);

impl<DB: Backend> ToSql<Binary, DB> for Link
where
    [u8]: ToSql<Binary, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.as_slice().to_sql(out)
    }
}

impl<DB: Backend> FromSql<Binary, DB> for Link
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Vec::<u8>::from_sql(bytes)?.try_into().map_err(|_| "not as long as a link")?))
    }
}

fn parsed<T: FromStr<Err: Error + Send + Sync + 'static>>(text: &str) -> deserialize::Result<T> {
    text.parse().map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)
}
