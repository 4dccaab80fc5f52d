//! People of an organisation, and what was done in it.

use super::texts;

texts! {
    /// Members.
    Users {
        title = "People",
        intro = "Who may sign in to this organisation, and what each of them may do.",
        members = "Members",
        email = "E-mail address",
        role = "Role",
        state = "State",
        since = "Member since",
        id = "User ID",
        you = "You",
        active = "Active",
        invited = "Invited",
        invitation_expired = "Invitation expired",
        disabled = "Disabled",
        role_without = "Signs in, and manages nothing here.",
        add = "Add a person",
        add_help = "You get a one-time password for them. They sign in with it and choose a password of their own. Somebody who \
                    has an account here already keeps the password that they have; nobody here has checked whose it is.",
        add_submit = "Add person",
        added_already = "Somebody was added from this form before. Send it again to add somebody else.",
        joined_already = "They are a member now. Their account exists already and was set up elsewhere: make sure that it is this \
                          person's. They sign in with the password that it has.",
        member_already = "Already a member here: nothing was changed.",
        removed = "They are no member any more, and their sessions here are over.",
        role_changed = "The role is changed. What they may do follows at once.",
        one_time = "One-time password",
        one_time_until = "They have not signed in yet. The one-time password works until {}.",
        one_time_expired = "They have not signed in, and the one-time password has expired on {}.",
        renew = "Give another one-time password",
        change_role = "Role",
        change_role_help = "You can give no role that manages more than yours.",
        change_role_submit = "Change role",
        remove = "Remove",
        remove_help = "Ends the membership and their sessions in this organisation. API keys that they made go on working.",
        remove_me = "This is you: you will be signed out.",
        remove_named = "Remove {}",
        remove_sure = "{} will not be able to open this organisation any more.",
        remove_yes = "Yes, remove",
        events = "Their events in the audit log",
        given_title = "One-time password",
        given_help = "Hand this to {} on a way that only they can read.",
        sign_in_at = "They sign in at",
        given_once = "This password is shown only now. It opens nothing but the choice of another one.",
        given_until = "It works until {}.",
        given_done = "Done",
    }

    /// The audit log.
    Audit {
        title = "Audit log",
        intro = "What was done in this organisation, by whom and from where. Newest first.",
        filter = "Filter",
        action = "Action, such as api_key.created",
        actor = "Actor, such as user:ID",
        since = "From (UTC)",
        until = "Until (UTC)",
        apply = "Show",
        clear = "Clear filter",
        events = "Events",
        when = "When",
        who = "Who",
        you = "You",
        success = "Success",
        details = "Details",
        target = "Target",
        ip = "Address",
        user_agent = "User agent",
        request_id = "Request ID",
        event_id = "Event ID",
        by_same = "Only this actor",
        none = "No events",
        none_help = "Nothing was done that fits this filter.",
        bad_time = "must be a date and time",
        until_sooner = "must be later than when it begins",
        no_address = "is no e-mail address but user:ID: open the person under People, and there the events",
    }

    /// Questions of forms.
    Choices {
        scopes = "Permissions",
        scopes_typed = "One in each line, such as goals:read.",
    }
}
