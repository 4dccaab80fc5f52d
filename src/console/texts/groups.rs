//! Key groups, app identifiers, plans and trusted issuers.

use super::texts;

texts! {
    /// Key groups.
    Groups {
        title = "Key groups",
        intro = "Keys with the same permissions. A group never changes; to give other permissions, create another group.",
        new = "New group",
        new_help = "Every key of the group has these permissions.",
        create = "Create group",
        created = "The group is there. Create the keys in it under API keys.",
        none = "No key groups yet",
        none_help = "Create one for each kind of program that you have, then create its keys in it.",
        yours = "Groups of this organisation",
        name = "Name",
        access_type = "Kind of key",
        scopes = "Permissions",
        since = "Created",
        id = "Group ID",
        keys = "Keys in this group",
        no_keys = "No key is in this group yet.",
        delete = "Delete",
        delete_help = "Revokes every key of the group, for good.",
        delete_named = "Delete {}",
        delete_sure = "Programs that use a key of this group stop working at once.",
        delete_yes = "Yes, delete the group and revoke its keys",
        deleted = "The group is deleted, and its keys are revoked.",
    }

    /// App identifiers.
    Apps {
        title = "App identifiers",
        intro = "Public names of your apps, such as for an SDK. They open nothing and are no secret.",
        none = "No app identifiers yet",
        none_help = "Add your first app below.",
        yours = "Apps of this organisation",
        name = "Name",
        id = "App identifier",
        id_of = "App identifier of {}",
        platform = "Platform",
        platform_hint = "Such as iOS, Android or web.",
        since = "Created",
        add = "Add an app",
        create = "Add app",
        created = "The app has its identifier.",
        delete = "Delete",
        delete_sure = "{} will have no identifier any more. The same one is never given again.",
        delete_yes = "Yes, delete",
        deleted = "The identifier is deleted.",
    }

    /// The plan.
    Plan {
        title = "Plan and limits",
        intro = "What your plan allows, and how much of it you use.",
        yours = "Your plan: {}",
        keys = "API keys",
        used = "{} of {} in use",
        all = "Plans",
        column = "Plan",
        here = "Your plan",
        api_keys = "API access",
        requests = "Requests per minute and key",
        at_most = "up to {}",
        unlimited = "No limit",
        yes = "Yes",
        no = "No",
        needed = "API key access requires a {} plan or higher.",
    }

    /// Trusted issuers.
    Issuers {
        title = "Trusted issuers",
        intro = "Programs that run where they have an identity already, such as GitHub Actions or Kubernetes, get access without \
                 an API key: there is no secret to store and none to leak.",
        new = "Trust an issuer",
        new_help = "What cannot be changed later: delete it and trust the issuer anew.",
        create = "Trust this issuer",
        created = "The issuer is trusted.",
        none = "No trusted issuers yet",
        none_help = "Trust the issuer of your build system or cluster, for exactly those of its workloads that you name.",
        name = "Name",
        issuer = "Issuer",
        issuer_hint = "The iss of its tokens, exactly: https://token.actions.githubusercontent.com",
        audience = "Audience",
        audience_hint = "What its tokens have as aud; best a name that no other server uses.",
        conditions = "Conditions",
        conditions_hint = "One in each line: repository = octo-org/app. A claim in several lines may have any of their values. A value \
                           may end in * behind / or :",
        scopes = "Permissions",
        since = "Trusted since",
        used = "Last used",
        delete_named = "Trust {} no more",
        delete_sure = "Its workloads get no more tokens, and those that they have stop working here.",
        delete_yes = "Yes, delete",
        deleted = "The issuer is trusted no more.",
    }
}
