//! One API key: made, looked at, replaced, ended.

use super::texts;

texts! {
    /// The form for a new key.
    CreateKey {
        title = "Create an API key",
        about = "What it is for",
        name = "Name",
        name_help = "The program or person that will use it, so that you know later what it is.",
        contact_email = "Contact e-mail",
        contact_email_help = "Whom to ask about this key.",
        environment = "Environment",
        rights = "What it may do",
        rights_help = "This can never be changed afterwards. Give it what it needs today; another key is made in a minute.",
        group = "Group",
        group_help = "A key in a group has the permissions of its group, and dies with it.",
        no_group = "No group: choose below",
        access_type = "Kind of key",
        scopes = "Permissions",
        scopes_text_help = "One on each line, like goals:read. Without any, the key only proves which organisation calls.",
        only_for = "Only for: {}",
        management = "Management",
        may_read_keys = "See API keys, groups and their usage",
        may_write_keys = "Create, rotate and revoke API keys",
        may_read_audit = "Read the audit log",
        may_read_issuers = "See whose workloads are trusted",
        may_write_issuers = "Say whose workloads are trusted",
        may_read_users = "See members",
        may_write_users = "Add and remove members",
        may_introspect = "Ask whether tokens of this organisation are valid",
        constraints = "Limited to",
        constraints_help = "Separate several by commas. Where you name none, everything is permitted.",
        limits = "When and from where",
        expires = "Expires",
        expires_help = "At the end of the day, in UTC.",
        never = "Never",
        in_days = "In {} days, on {}",
        other_day = "On another day",
        no_day = "must be a day, like 2030-12-31",
        allowed_ips = "Allowed IP addresses",
        allowed_ips_help = "Addresses or networks such as 203.0.113.0/24, one on each line. Without any, the key works from everywhere.",
        submit = "Create key",
        created_already = "A key was created from this form before. Send it again to create another one.",
    }

    /// The one sight of a new key.
    CreatedKey {
        title = "Your new API key",
        rotated = "The key is rotated",
        once = "Copy it now: it is shown only this once.",
        once_help = "Nobody can look it up later. Keep it where your program reads its secrets, never in code or a web page.",
        overlap = "The key before it works until {}. Put the new one in place, and look at its page to see what still uses the old one.",
        old_is_dead = "The key before it does not work any more.",
        id = "Key ID",
        key = "API key",
        secret = "Secret",
        example = "Try it",
        example_help = "Paste this into a terminal. If your API has another address, put that in place.",
        show = "Go to this key",
        all = "All keys",
    }

    /// A key's page.
    ShowKey {
        rotate = "Rotate",
        revoke = "Revoke",
        details = "Details",
        id = "Key ID",
        key = "Key",
        access_type = "Kind of key",
        environment = "Environment",
        scopes = "Permissions",
        constraints = "Limited to",
        allowed_ips = "Allowed IP addresses",
        anywhere = "From everywhere",
        contact_email = "Contact",
        created = "Created",
        by = "by {}",
        you = "you",
        expires = "Expires",
        revoked_at = "Revoked",
        last_used = "Last used",
        replaces = "Replaces",
        older_key = "an older key",
        change = "Change name or contact",
        save = "Save",
        changed = "The key is changed.",
        revoked = "The key is revoked. It does not work any more.",
        usage = "Usage in the last 30 days",
        usage_total = "{} uses, {} refused",
        usage_none = "Not used in the last 30 days.",
        usage_delay = "What happened in the last seconds is not counted yet.",
        chart_uses = "Uses",
        chart_refused = "Refused",
        day = "Day",
        as_table = "Show as a table",
        refusals = "Refused because of",
        unused = "Permissions that nobody used",
        unused_help = "In the last 30 days this key never used the permissions below. A smaller key could do the same work; \
                       if this one leaks, less is lost.",
        propose = "Create a smaller key",
        callers = "Who uses this key",
        old_secret = "The old secret still works",
        old_key = "The old key still works",
        old_until = "Until {}.",
        old_quiet = "Nothing has used the old one since it was replaced. It can go.",
        old_busy = "This still uses it: put the new one in place there.",
        end_old_key = "Revoke the old key",
        address = "Address",
        agent = "Program",
        times = "Times",
        last_seen = "Last seen",
        others = "Others",
    }

    /// The rotation of a key.
    RotateKey {
        title = "Rotate {}",
        intro = "You get a new key with the same permissions. The old one keeps working for as long as you choose, so that \
                 nothing breaks while you put the new one in place.",
        intro_secret = "You get a new secret; the key ID stays. The old secret keeps working for as long as you choose, so \
                        that nothing breaks while you put the new one in place.",
        overlap = "How long the old one keeps working",
        at_once = "Not at all: end it now",
        at_once_help = "For a key that has leaked",
        hour = "1 hour",
        day = "1 day",
        week = "7 days",
        month = "30 days",
        submit = "Rotate key",
        rotated_already = "The key was rotated from this form before. Send it again to rotate once more.",
    }

    /// The end of a key.
    RevokeKey {
        title = "Revoke {}?",
        intro = "It stops working at once and for good. Whatever still uses it will be refused.",
        used = "It was last used {}.",
        unused = "It was never used.",
        submit = "Revoke for good",
    }
}
