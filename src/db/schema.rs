// @generated automatically by Diesel CLI.

diesel::table! {
    api_key_callers (api_key_id, secret, ip, user_agent) {
        api_key_id -> Binary,
        secret -> BigInt,
        ip -> Text,
        user_agent -> Text,
        times -> BigInt,
        last_seen_at -> BigInt,
    }
}

diesel::table! {
    api_key_scope_usage (api_key_id, day, scope) {
        api_key_id -> Binary,
        day -> BigInt,
        scope -> Text,
        times -> BigInt,
    }
}

diesel::table! {
    api_key_usage (api_key_id, day, outcome) {
        api_key_id -> Binary,
        day -> BigInt,
        outcome -> Text,
        times -> BigInt,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Binary,
        tenant_id -> Binary,
        name -> Text,
        key_hash -> Binary,
        hint -> Text,
        environment -> Text,
        scopes -> Text,
        allowed_ips -> Text,
        contact_email -> Nullable<Text>,
        replaces -> Nullable<Binary>,
        created_at -> BigInt,
        created_by -> Text,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        access_type -> Nullable<Text>,
        group_id -> Nullable<Binary>,
        constraints -> Nullable<Text>,
        previous_hash -> Nullable<Binary>,
        previous_until -> Nullable<BigInt>,
        secret_changed_at -> Nullable<BigInt>,
        status_index -> BigInt,
        previous_status_index -> Nullable<BigInt>,
    }
}

diesel::table! {
    app_identifiers (id) {
        id -> Binary,
        tenant_id -> Binary,
        name -> Text,
        platform -> Nullable<Text>,
        created_at -> BigInt,
        created_by -> Text,
    }
}

diesel::table! {
    audit_chains (id) {
        id -> Binary,
        sequence -> BigInt,
        link -> Binary,
        forgotten -> BigInt,
        signed -> BigInt,
    }
}

diesel::table! {
    audit_checkpoints (number) {
        number -> BigInt,
        token -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    audit_events (id) {
        id -> Binary,
        at -> BigInt,
        tenant_id -> Nullable<Binary>,
        action -> Text,
        outcome -> Text,
        actor -> Text,
        target -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        request_id -> Nullable<Text>,
        details -> Nullable<Text>,
        chain -> Nullable<Binary>,
        sequence -> Nullable<BigInt>,
        link -> Nullable<Binary>,
    }
}

diesel::table! {
    ended_statuses (status_index) {
        status_index -> BigInt,
        ended_at -> BigInt,
    }
}

diesel::table! {
    idempotency_records (tenant_id, key_hash) {
        tenant_id -> Binary,
        key_hash -> Binary,
        request_hash -> Binary,
        sealed_answer -> Binary,
        created_at -> BigInt,
        expires_at -> BigInt,
        master_key -> Nullable<Text>,
    }
}

diesel::table! {
    instances (id) {
        id -> Binary,
        seen_at -> BigInt,
        name -> Nullable<Text>,
        master_key -> Nullable<Text>,
    }
}

diesel::table! {
    key_groups (id) {
        id -> Binary,
        tenant_id -> Binary,
        name -> Text,
        access_type -> Nullable<Text>,
        scopes -> Text,
        created_at -> BigInt,
        created_by -> Text,
    }
}

diesel::table! {
    login_failures (subject, device) {
        subject -> Binary,
        device -> Binary,
        count -> BigInt,
        first_at -> BigInt,
        last_at -> BigInt,
    }
}

diesel::table! {
    master_keys (id) {
        id -> Text,
        created_at -> BigInt,
        successor -> Nullable<Text>,
        sealed_other -> Nullable<Binary>,
    }
}

diesel::table! {
    memberships (tenant_id, user_id) {
        tenant_id -> Binary,
        user_id -> Binary,
        role -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    secrets (name) {
        name -> Text,
        sealed_value -> Binary,
        created_at -> BigInt,
        master_key -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Binary,
        user_id -> Binary,
        tenant_id -> Binary,
        generation -> BigInt,
        grace_uses -> BigInt,
        created_at -> BigInt,
        rotated_at -> BigInt,
        expires_at -> BigInt,
        ends_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        revoked_reason -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        status_index -> BigInt,
    }
}

diesel::table! {
    signing_algorithms (algorithm) {
        algorithm -> Text,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        algorithm -> Text,
        state -> Text,
        public_jwk -> Text,
        sealed_private -> Binary,
        created_at -> BigInt,
        activated_at -> Nullable<BigInt>,
        retired_at -> Nullable<BigInt>,
        published_at -> Nullable<BigInt>,
        signs_at -> Nullable<BigInt>,
        retires_at -> Nullable<BigInt>,
        cache_seconds -> BigInt,
        token_seconds -> BigInt,
        master_key -> Nullable<Text>,
    }
}

diesel::table! {
    status_counter (id) {
        id -> BigInt,
        next -> BigInt,
    }
}

diesel::table! {
    tenants (id) {
        id -> Binary,
        name -> Text,
        project_token -> Text,
        plan -> Nullable<Text>,
        created_at -> BigInt,
        suspended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    trusted_issuers (id) {
        id -> Binary,
        tenant_id -> Binary,
        name -> Text,
        issuer -> Text,
        audience -> Text,
        conditions -> Text,
        scopes -> Text,
        created_at -> BigInt,
        created_by -> Text,
        last_used_at -> Nullable<BigInt>,
        status_index -> BigInt,
    }
}

diesel::table! {
    users (id) {
        id -> Binary,
        email -> Text,
        password_hash -> Text,
        operator -> Bool,
        created_at -> BigInt,
        password_changed_at -> BigInt,
        last_login_at -> Nullable<BigInt>,
        disabled_at -> Nullable<BigInt>,
        one_time_until -> Nullable<BigInt>,
    }
}

diesel::joinable!(api_key_callers -> api_keys (api_key_id));
diesel::joinable!(api_key_scope_usage -> api_keys (api_key_id));
diesel::joinable!(api_key_usage -> api_keys (api_key_id));
diesel::joinable!(api_keys -> tenants (tenant_id));
diesel::joinable!(app_identifiers -> tenants (tenant_id));
diesel::joinable!(idempotency_records -> master_keys (master_key));
diesel::joinable!(idempotency_records -> tenants (tenant_id));
diesel::joinable!(key_groups -> tenants (tenant_id));
diesel::joinable!(memberships -> tenants (tenant_id));
diesel::joinable!(memberships -> users (user_id));
diesel::joinable!(secrets -> master_keys (master_key));
diesel::joinable!(sessions -> tenants (tenant_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(signing_keys -> master_keys (master_key));
diesel::joinable!(trusted_issuers -> tenants (tenant_id));

diesel::allow_tables_to_appear_in_same_query!(
    api_key_callers,
    api_key_scope_usage,
    api_key_usage,
    api_keys,
    app_identifiers,
    audit_chains,
    audit_checkpoints,
    audit_events,
    ended_statuses,
    idempotency_records,
    instances,
    key_groups,
    login_failures,
    master_keys,
    memberships,
    secrets,
    sessions,
    signing_algorithms,
    signing_keys,
    status_counter,
    tenants,
    trusted_issuers,
    users,
);
