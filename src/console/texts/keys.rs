//! API keys.

use super::texts;

texts! {
    /// The list of keys.
    Keys {
        title = "API keys",
        intro = "Keys let your own programs call the API without a person signing in. Give each program a key of its own, with \
                 no more permissions than it needs.",
        create = "Create a key",
        ids = "Who you are to the API",
        tenant_id = "Tenant ID",
        project_token = "Project token",
        tenant_in_header = "Send the tenant ID in the header X-Tenant-ID of every request. Neither value is a secret.",
        tenant_in_path = "Requests name your organisation in their path, by the tenant ID or the project token. Neither is a secret.",
        tenant_by_key = "A key says by itself which organisation it belongs to, so requests need neither value. Neither is a secret.",
        none = "No API keys yet",
        none_help = "Create the first one: give it a name, choose what it may do, and copy it into your program.",
        yours = "Keys of this organisation",
        name = "Name",
        key = "Key",
        state = "State",
        scopes = "Permissions",
        last_used = "Last used",
        expires = "Expires",
        more = "and {} more",
        no_scopes = "None",
        active = "Active",
        ending = "Ends soon",
        expired = "Expired",
        revoked = "Revoked",
    }
}
