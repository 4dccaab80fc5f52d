//! One's own account, and the organisations that one belongs to.

use super::texts;

texts! {
    /// One's own account.
    Account {
        title = "Your account",
        password = "Password",
        password_help = "Changing it signs you out on every other device.",
        current_password = "Current password",
        new_password = "New password",
        new_password_help = "At least {} characters. A few words that only you would put together are better than signs.",
        change_password = "Change password",
        password_changed = "Your password is changed. Every other device is signed out.",
        sessions = "Where you are signed in",
        sessions_help = "A session that you do not know? End it and change your password.",
        this_session = "This session",
        device = "Device",
        address = "Address",
        last_used = "Last used",
        signed_in_at = "Signed in",
        browser_on = "{} on {}",
        wrong_password = "is not your password",
        unknown_device = "Unknown device",
        end = "End session",
        end_named = "End session on {}",
        session_ended = "The session is over.",
        everywhere = "Sign out everywhere",
        everywhere_help = "Ends every session, this one too.",
    }

    /// The organisations of a user.
    Organisations {
        title = "Your organisations",
        intro = "What you see and change is that of one organisation at a time.",
        current = "Open now",
        open = "Open",
        open_named = "Open {}",
        role = "Role",
    }
}
