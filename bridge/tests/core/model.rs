//! Whatever happens to people and panels, no receipt says that all is closed while a card of the leaver stands on a
//! list.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sim::uhppote::Misbehaviour;

use crate::world::{World, number};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Move(&'static str),
    Active(bool),
    Silent(usize, bool),
    Refusing(usize),
    Sweep,
    /// Longer than every pause, so that all that failed is tried again.
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let department = prop_oneof![Just("Staff"), Just("Grounds"), Just("Research"), Just("Nowhere")];
    prop_oneof![
        3 => department.prop_map(Step::Move),
        2 => any::<bool>().prop_map(Step::Active),
        3 => (0..2_usize, any::<bool>()).prop_map(|(panel, silent)| Step::Silent(panel, silent)),
        1 => (0..2_usize).prop_map(Step::Refusing),
        1 => Just(Step::Sweep),
        2 => Just(Step::Pass),
    ]
}

#[test]
fn no_receipt_is_complete_while_a_card_stands_on_a_list() {
    let config = Config { cases: 24, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let tried = runner.run(&proptest::collection::vec(step(), 1..14), |steps| {
        runtime.block_on(play(&steps));
        Ok(())
    });
    tried.expect("the property holds");
}

async fn play(steps: &[Step]) {
    let world = World::sqlite().await;
    let (user, card) = world.carded("ada", "Grounds").await;
    let mut active = true;
    for step in steps {
        match *step {
            Step::Move(department) => world.move_to(user, department).await,
            Step::Active(now) if now == active => continue,
            Step::Active(now) => {
                world.pass(std::time::Duration::from_secs(1));
                world.set_active(user, now).await;
                active = now;
            }
            Step::Silent(panel, true) => world.panels[panel].misbehave(Misbehaviour::Silent),
            Step::Silent(panel, false) => world.panels[panel].behave(),
            Step::Refusing(panel) => world.panels[panel].misbehave(Misbehaviour::RefusePuts),
            Step::Sweep => {
                drop(bridge::sweep::sweep(world.db(), crate::world::HQ, &world.node.connector()).await)
            }
            Step::Pass => world.pass(std::time::Duration::from_secs(61)),
        }
        world.settle().await;
        is_honest(&world, user, &card, active).await;
    }
    world.panels.iter().for_each(sim::uhppote::Controller::behave);
    if active {
        world.pass(std::time::Duration::from_secs(1));
        world.set_active(user, false).await;
    }
    for _ in 0..3 {
        world.pass(std::time::Duration::from_secs(61));
        world.settle().await;
    }
    is_honest(&world, user, &card, false).await;
    assert!(world.receipt(user).await.expect("a receipt").complete, "everything answers, and all is proven");
}

async fn is_honest(
    world: &World,
    user: kernel::id::UserId,
    card: &directory::credential::Credential,
    active: bool,
) {
    if active {
        return;
    }
    let Some(receipt) = world.receipt(user).await else { return };
    let stands: Vec<u32> =
        world.panels.iter().flat_map(|panel| panel.cards()).map(|held| held.number).collect();
    let stands = stands.contains(&number(card));
    assert!(!(receipt.complete && stands), "a card stands on a list: {receipt:?}");
}
