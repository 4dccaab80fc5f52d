//! What stands around every page.

use super::texts;

texts! {
    /// The frame of a page.
    Layout {
        skip = "Skip to content",
        navigation = "Main",
        signed_in_as = "Signed in as",
        organisation = "Organisation",
        switch = "Switch organisation",
        sign_out = "Sign out",
    }

    /// Where one can go.
    Nav {
        keys = "API keys",
        groups = "Key groups",
        apps = "App identifiers",
        issuers = "Trusted issuers",
        users = "People",
        audit = "Audit log",
        plan = "Plan and limits",
        tenants = "Organisations",
        signing_keys = "Signing keys",
        account = "Your account",
    }

    /// What forms have in common.
    Form {
        optional = "optional",
        copy = "Copy",
        copied = "Copied",
        cancel = "Cancel",
        problems = "Please check what you entered",
    }

    /// What tables have in common.
    Table {
        actions = "Actions",
        next = "Next page",
        first = "Back to the first page",
        pages = "Pages",
    }

    /// Times and spans of them.
    Time {
        never = "Never",
        now = "Just now",
        minutes = "{} min ago",
        hours = "{} h ago",
        days = "{} days ago",
        yesterday = "Yesterday",
        utc = "UTC",
    }

    /// What is said where something is refused.
    Errors {
        denied = "You cannot open this page",
        denied_help = "Your role in this organisation lacks the permission {}. Ask an administrator of your organisation for it.",
        missing = "There is nothing here",
        missing_help = "It may have been removed, or belong to another organisation of yours.",
        stale = "This page is out of date",
        stale_help = "You signed in again, or switched the organisation, since it was opened. Nothing was changed.",
        foreign = "This form came from somewhere else",
        foreign_help = "For your safety nothing was changed. Open the page here and try again.",
        busy = "The server cannot do this right now",
        busy_help = "Nothing was changed. Please try again in a moment.",
        other = "That did not work",
        home = "Go to the start page",
        request = "If you ask for help, name this request: {}",
    }
}
