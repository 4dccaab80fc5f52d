//! Signing in.

use super::texts;

texts! {
    /// The page.
    SignIn {
        title = "Sign in",
        to = "Sign in to {}",
        email = "E-mail address",
        password = "Password",
        submit = "Sign in",
        choose = "Choose an organisation",
        choose_help = "You belong to several. Choose one and enter your password once more; you can switch later.",
        own_password = "Choose your own password",
        own_password_help = "You were given a password that works once. Enter it again, and one that only you know.",
        one_time_password = "One-time password",
        new_password = "New password",
        organisation = "Organisation",
        continue_ = "Continue",
        ended = "Your session has ended. Sign in to go on.",
        reused = "Your session was used in two places at once and has been ended for your safety. Sign in again, and change \
                  your password if that was not you.",
        signed_out = "You are signed out.",
        everywhere = "You are signed out on all devices.",
        throttled = "Too many failed sign-ins. Try again in {} s.",
        one_moment = "One moment",
        go_on = "Continue to the console",
    }
}
