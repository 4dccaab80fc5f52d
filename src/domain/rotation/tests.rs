use super::*;

const START: Timestamp = Timestamp(1_800_000_000_000_000);

/// A world of keys in which every step is carried out as the database would do it.
struct World {
    policy: RotationPolicy,
    keys: Vec<SigningKeyInfo>,
    now: Timestamp,
}

impl World {
    fn new<const N: usize>(in_use: [Algorithm; N]) -> Self {
        let policy = RotationPolicy {
            in_use: in_use.into(),
            rotate_every: Some(TimeDelta::days(90)),
            max_age: TimeDelta::minutes(5),
            longest_token: TimeDelta::hours(1),
        };
        let mut world = Self { policy, keys: Vec::new(), now: START };
        world.apply(world.policy.first(&world.keys));
        world
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Publish { algorithm, signs_at } => self.add(algorithm, Some(signs_at)),
                Change::Make(algorithm) => self.add(algorithm, None),
                Change::Move { from, key } => {
                    let kept = self.kept(&key.kid);
                    assert_eq!(kept.state, from);
                    *kept = key;
                }
                Change::Note(key) => {
                    let kept = self.kept(&key.kid);
                    *kept = key;
                }
            }
            for state in [KeyState::Pending, KeyState::Active] {
                for algorithm in Algorithm::ALL {
                    let count = self.keys.iter().filter(|key| (key.state, key.algorithm) == (state, algorithm)).count();
                    assert!(count <= 1, "{count} are {state:?} for {algorithm}");
                }
            }
        }
    }

    fn kept(&mut self, kid: &str) -> &mut SigningKeyInfo {
        self.keys.iter_mut().find(|key| key.kid == kid).unwrap()
    }

    fn add(&mut self, algorithm: Algorithm, signs_at: Option<Timestamp>) {
        self.keys.push(SigningKeyInfo {
            kid: self.keys.len().to_string(),
            algorithm,
            state: if signs_at.is_some() { KeyState::Pending } else { KeyState::Active },
            created_at: self.now,
            published_at: Some(self.now),
            signs_at,
            activated_at: signs_at.is_none().then_some(self.now),
            retires_at: None,
            retired_at: None,
            cache_seconds: self.policy.max_age.num_seconds(),
            token_seconds: self.policy.longest_token.num_seconds(),
        });
    }

    /// Some time passes, and what is due then is done.
    fn pass(&mut self, span: TimeDelta) -> &mut Self {
        self.now = self.now.plus(span);
        loop {
            let step = self.policy.due(&self.keys, self.now);
            if step.is_empty() {
                return self;
            }
            self.apply(step);
        }
    }

    fn begin(&mut self) -> &mut Self {
        self.apply(self.policy.begin(&self.keys, self.now));
        self
    }

    fn states(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.state.as_str()).collect()
    }

    #[track_caller]
    fn expect(&mut self, states: &[&str]) -> &mut Self {
        assert_eq!(self.states(), states, "after {}", self.now.since(START));
        self
    }
}

const SECOND: TimeDelta = TimeDelta::seconds(1);

#[test]
fn a_key_goes_through_its_life_to_the_second() {
    World::new([Algorithm::Es256])
        .expect(&["active"])
        .begin()
        .expect(&["active", "pending"])
        .begin()
        .expect(&["active", "pending"])
        .pass(TimeDelta::minutes(10) - SECOND)
        .expect(&["active", "pending"])
        .pass(SECOND)
        .expect(&["retiring", "active"])
        .pass(TimeDelta::minutes(61) - SECOND)
        .expect(&["retiring", "active"])
        .pass(SECOND)
        .expect(&["retired", "active"]);
}

#[test]
fn a_key_is_followed_when_it_has_reached_its_age() {
    let mut world = World::new([Algorithm::Es256]);
    world
        .pass(TimeDelta::days(90) - TimeDelta::minutes(10) - SECOND)
        .expect(&["active"])
        .pass(SECOND)
        .expect(&["active", "pending"])
        .pass(TimeDelta::minutes(10))
        .expect(&["retiring", "active"])
        .pass(TimeDelta::days(90) - TimeDelta::minutes(10))
        .expect(&["retired", "active", "pending"]);
    world.policy.rotate_every = None;
    world.pass(TimeDelta::minutes(10)).expect(&["retired", "retiring", "active"]);
    world.pass(TimeDelta::days(3650)).expect(&["retired", "retired", "active"]);
}

#[test]
fn another_algorithm_waits_and_the_old_one_signs_meanwhile() {
    let mut world = World::new([Algorithm::Es256]);
    world.policy.in_use = [Algorithm::EdDsa].into();
    world
        .pass(SECOND)
        .expect(&["active", "pending"])
        .pass(TimeDelta::minutes(10) - SECOND)
        .expect(&["active", "pending"])
        .pass(SECOND)
        .expect(&["retiring", "active"])
        .pass(TimeDelta::minutes(61))
        .expect(&["retired", "active"]);
}

#[test]
fn a_change_of_mind_drops_the_key_that_waits() {
    let mut world = World::new([Algorithm::Es256]);
    world.policy.in_use = [Algorithm::EdDsa].into();
    world.pass(SECOND).expect(&["active", "pending"]);
    world.policy.in_use = [Algorithm::Es256].into();
    world.pass(SECOND).expect(&["active", "retired"]);
}

#[test]
fn another_algorithm_besides_takes_nothing_away() {
    let mut world = World::new([Algorithm::Es256]);
    world.policy.in_use = [Algorithm::Es256, Algorithm::Rs256].into();
    world.pass(SECOND).expect(&["active", "pending"]);
    world.pass(TimeDelta::minutes(10)).expect(&["active", "active"]);
    world.policy.in_use = [Algorithm::Rs256].into();
    world.pass(SECOND).expect(&["retiring", "active"]);
}

#[test]
fn what_was_promised_holds_after_the_configuration_has_changed() {
    let mut world = World::new([Algorithm::Es256]);
    world.policy.max_age = TimeDelta::minutes(1);
    world.policy.longest_token = TimeDelta::minutes(1);
    world.begin().pass(TimeDelta::minutes(10) - SECOND).expect(&["active", "pending"]);
    world.pass(SECOND).expect(&["retiring", "active"]);
    world.pass(TimeDelta::minutes(61) - SECOND).expect(&["retiring", "active"]);
    world.pass(SECOND).expect(&["retired", "active"]);
    // The old promise is gone with the old key.
    world.begin().pass(TimeDelta::minutes(2)).expect(&["retired", "retiring", "active"]);
    world.pass(TimeDelta::minutes(2)).expect(&["retired", "retired", "active"]);
}

#[test]
fn a_greater_promise_counts_from_when_it_is_made() {
    let mut world = World::new([Algorithm::Es256]);
    world.begin();
    world.policy.max_age = TimeDelta::hours(1);
    world.policy.longest_token = TimeDelta::hours(5);
    world.pass(TimeDelta::minutes(10)).expect(&["active", "pending"]);
    world.pass(TimeDelta::minutes(110)).expect(&["retiring", "active"]);
    world.pass(TimeDelta::minutes(301) - SECOND).expect(&["retiring", "active"]);
    world.pass(SECOND).expect(&["retired", "active"]);
}

#[test]
fn in_an_emergency_another_key_signs_at_once() {
    let mut world = World::new([Algorithm::Es256]);
    world.apply(world.policy.hasten(&world.keys, START));
    world.expect(&["retiring", "active"]).begin().expect(&["retiring", "active", "pending"]);
    world.apply(world.policy.hasten(&world.keys, START));
    world.expect(&["retiring", "retiring", "active"]);
}

#[test]
fn a_revoked_key_is_followed_at_once() {
    let mut world = World::new([Algorithm::Es256]);
    let revoke = |world: &mut World, kid| world.apply(world.policy.revoke(kid, &world.keys, world.now));
    revoke(&mut world, "0");
    world.expect(&["compromised", "active"]).begin().expect(&["compromised", "active", "pending"]);
    revoke(&mut world, "1");
    world.expect(&["compromised", "compromised", "active"]);
    revoke(&mut world, "1");
    revoke(&mut world, "unknown");
    world.expect(&["compromised", "compromised", "active"]).begin();
    revoke(&mut world, "3");
    world.expect(&["compromised", "compromised", "active", "compromised"]).pass(TimeDelta::days(1));
    world.expect(&["compromised", "compromised", "active", "compromised"]);
}

#[test]
fn what_is_revoked_while_it_is_replaced_is_replaced_at_once() {
    let mut world = World::new([Algorithm::Es256]);
    world.policy.in_use = [Algorithm::EdDsa].into();
    world.pass(SECOND).expect(&["active", "pending"]);
    world.apply(world.policy.revoke("0", &world.keys, world.now));
    world.expect(&["compromised", "active"]);
}

#[test]
fn where_nothing_signs_something_signs_at_once() {
    let mut world = World::new([Algorithm::Es256]);
    world.begin().keys[0].state = KeyState::Compromised;
    world.pass(TimeDelta::zero()).expect(&["compromised", "active"]).begin().pass(TimeDelta::minutes(10));
    world.expect(&["compromised", "retiring", "active"]).keys[2].state = KeyState::Compromised;
    world.pass(TimeDelta::zero()).expect(&["compromised", "retiring", "compromised", "active"]);
}

#[test]
fn a_table_without_published_keys_is_left_alone() {
    let mut world = World::new([Algorithm::Es256]);
    world.keys[0].state = KeyState::Compromised;
    world.pass(TimeDelta::days(1)).expect(&["compromised"]);
    world.keys.clear();
    world.pass(TimeDelta::days(1)).expect(&[]);
}

#[test]
fn a_clock_that_steps_back_reverts_nothing() {
    let mut world = World::new([Algorithm::Es256]);
    world.begin().pass(TimeDelta::minutes(10)).expect(&["retiring", "active"]);
    world.pass(TimeDelta::hours(-5)).expect(&["retiring", "active"]);
    world.begin().pass(TimeDelta::hours(-5)).expect(&["retiring", "active", "pending"]);
    world.pass(TimeDelta::days(-400)).expect(&["retiring", "active", "pending"]);
}

#[test]
fn what_comes_next_is_told() {
    let mut world = World::new([Algorithm::Es256]);
    let told = |world: &World| {
        let outlook = world.policy.outlook(world.keys.clone());
        let next = |key: &KeyOutlook| Some((key.next_state?.as_str(), key.next_at?.since(START).num_minutes()));
        outlook.iter().map(next).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [Some(("retiring", 90 * 24 * 60))]);
    world.begin();
    assert_eq!(told(&world), [Some(("retiring", 10)), Some(("active", 10))]);
    world.pass(TimeDelta::minutes(10));
    assert_eq!(told(&world), [Some(("retired", 71)), Some(("retiring", 90 * 24 * 60 + 10))]);
    world.policy.rotate_every = None;
    world.pass(TimeDelta::minutes(61));
    assert_eq!(told(&world), [None, None]);
    world.policy.in_use = [Algorithm::EdDsa].into();
    world.pass(TimeDelta::zero());
    assert_eq!(told(&world), [None, Some(("retiring", 81)), Some(("active", 81))]);
}
