use clap::CommandFactory as _;

use super::*;

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    const ID: &str = "0199b0a0-0000-7000-8000-000000000000";
    for line in [
        "jeton",
        "jeton serve --migrate",
        "jeton migrate --config a.toml --json",
        "jeton backup FILE --json",
        "jeton --json doctor",
        "jeton tenant create --name N --id ID --plan P",
        "jeton tenant list",
        "jeton tenant set-plan ID PLAN",
        "jeton tenant suspend ID --json",
        "jeton tenant resume ID",
        "jeton tenant delete ID",
        "jeton user create --email a@example.com --tenant ID --role admin --operator --password-stdin",
        "jeton user create --email a@example.com --tenant ID --generate-password",
        "jeton user list",
        "jeton user disable a@example.com",
        "jeton user enable a@example.com",
        "jeton user set-password a@example.com --password-stdin",
        "jeton user set-password a@example.com --one-time-password --json",
        "jeton user create --email a@example.com --tenant ID --one-time-password",
        "jeton api-key create --tenant ID --name N --scope a:b --scope c.d --type full --group ID --expires-in 90d --allow-ip 10.0.0.0/8",
        "jeton api-key list --tenant ID",
        "jeton api-key revoke ID",
        "jeton api-key rotate ID --overlap 24h",
        "jeton trusted-issuer create --tenant ID --name N --issuer https://token.actions.githubusercontent.com --audience A --condition repository=octo-org/app --condition /kubernetes.io/namespace=a --scope a:b",
        "jeton trusted-issuer list --tenant ID",
        "jeton trusted-issuer delete ID",
        "jeton signing-key list",
        "jeton signing-key rotate --emergency --json",
        "jeton signing-key import FILE --json",
        "jeton signing-key revoke -KID_",
        "jeton master-key status --json",
        "jeton master-key rotate --new-key FILE",
        "jeton master-key install",
        "jeton master-key finish --force",
        "jeton config print",
        "jeton openapi",
    ] {
        let words: Vec<_> = line.split(' ').map(|word| if word == "ID" { ID } else { word }).collect();
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "jeton serv",
        "jeton serve --port 1",
        "jeton tenant",
        "jeton tenant create",
        "jeton tenant suspend 1",
        "jeton user create --email a@example.com --tenant 0199b0a0-0000-7000-8000-000000000000",
        "jeton user create --email a@example.com --tenant 0199b0a0-0000-7000-8000-000000000000 --password-stdin --generate-password",
        "jeton user create --email a@example.com --tenant 0199b0a0-0000-7000-8000-000000000000 --one-time-password --generate-password",
        "jeton user set-password a@example.com",
        "jeton user disable nobody",
        "jeton config",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).err().unwrap_or_else(|| panic!("{line} is understood"));
        assert_eq!(error.exit_code(), 2, "{line}");
        assert_ne!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, "{line}");
    }
}
