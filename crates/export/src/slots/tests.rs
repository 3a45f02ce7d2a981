use super::*;

fn slots(exports: usize, per_key: Option<usize>, queue: usize) -> Arc<Slots> {
    let limits = SlotLimits { exports, per_key, queue, patience: Duration::from_secs(600) };
    Slots::new(limits, Gauge::default(), Gauge::default())
}

fn slot(slots: &Arc<Slots>, key: &str) -> Slot {
    match slots.enter(Some(key)) {
        Ok(Entry::Slot(slot)) => slot,
        _ => panic!("no slot for {key}"),
    }
}

fn place(slots: &Arc<Slots>, key: &str) -> Place {
    match slots.enter(Some(key)) {
        Ok(Entry::Queue(place)) => place,
        _ => panic!("no place for {key}"),
    }
}

fn refusal(slots: &Arc<Slots>, key: &str) -> NoSlot {
    slots.enter(Some(key)).err().expect("a refusal")
}

fn is_granted(place: &mut Place) -> Option<Slot> {
    place.granted.try_recv().ok()
}

#[test]
fn who_came_first_is_served_first() {
    let slots = slots(1, None, 4);
    let running = slot(&slots, "a");
    let (mut first, mut second) = (place(&slots, "b"), place(&slots, "a"));
    drop(running);
    assert!(is_granted(&mut second).is_none());
    let granted = is_granted(&mut first).expect("a slot");
    drop(granted);
    assert!(is_granted(&mut second).is_some());
}

#[test]
fn a_key_at_its_limit_is_overtaken_and_does_not_fill_the_queue() {
    let slots = slots(2, Some(1), 4);
    let running = slot(&slots, "a");
    let mut waiting = [place(&slots, "a"), place(&slots, "a")];
    assert_eq!(refusal(&slots, "a"), NoSlot::KeyBusy);
    let other = slot(&slots, "b");
    let mut third = place(&slots, "c");
    drop(other);
    assert!(waiting.iter_mut().all(|place| is_granted(place).is_none()));
    let third_slot = is_granted(&mut third).expect("a slot");
    drop(running);
    assert!(is_granted(&mut waiting[0]).is_some());
    drop(third_slot);
}

#[test]
fn a_key_has_at_most_half_while_others_wait() {
    let slots = slots(4, None, 8);
    let mut running = vec![slot(&slots, "a"), slot(&slots, "a"), slot(&slots, "a")];
    let mut own = place(&slots, "a");
    let mut others = vec![slot(&slots, "b")];
    let mut waiting = [place(&slots, "b"), place(&slots, "c")];
    running.pop();
    others.extend(is_granted(&mut waiting[0]));
    assert!(is_granted(&mut own).is_none(), "it has half already");
    running.pop();
    running.extend(is_granted(&mut own));
    running.pop();
    others.extend(is_granted(&mut waiting[1]));
    assert_eq!((running.len(), others.len()), (1, 3));
}

#[test]
fn a_key_that_has_half_leaves_the_last_slot_of_many_to_others() {
    let many = slots(4, None, 4);
    let mut running: Vec<_> = (0..3).map(|_| slot(&many, "a")).collect();
    let mut own = place(&many, "a");
    assert_eq!(many.reason(&many.lock(), Some("a")), NoSlot::Busy);
    drop(slot(&many, "b"));
    assert!(is_granted(&mut own).is_none());
    running.pop();
    assert!(is_granted(&mut own).is_some());

    let few = slots(2, None, 4);
    let _all = [slot(&few, "a"), slot(&few, "a")];
}

#[test]
fn who_is_parked_leaves_its_slot_and_no_key_has_more_than_half_in_flight() {
    let slots = slots(1, None, 4);
    let mut parked = Vec::new();
    for _ in 0..IN_FLIGHT_PER_SLOT / 2 {
        let mut own = slot(&slots, "a");
        own.park();
        own.park();
        parked.push(own);
    }
    let mut own = place(&slots, "a");
    assert_eq!(slots.reason(&slots.lock(), Some("a")), NoSlot::KeyBusy);
    let other = slot(&slots, "b");
    parked.pop();
    assert!(is_granted(&mut own).is_none());
    drop(other);
    let mut own = is_granted(&mut own).expect("a slot");
    own.park();
    parked.push(own);
    for _ in 0..IN_FLIGHT_PER_SLOT / 2 {
        let mut other = slot(&slots, "b");
        other.park();
        parked.push(other);
    }
    let mut third = place(&slots, "c");
    assert_eq!(slots.reason(&slots.lock(), Some("c")), NoSlot::Busy);
    parked.pop();
    assert!(is_granted(&mut third).is_some());
    drop(parked);
    assert_eq!(slots.lock().held.all(), 0);
    assert!(slots.lock().by_key.is_empty());
}

#[test]
fn a_place_that_is_left_is_free_and_its_slot_goes_on() {
    let slots = slots(1, None, 2);
    let running = slot(&slots, "a");
    let leaving = place(&slots, "b");
    let mut staying = place(&slots, "c");
    assert_eq!(refusal(&slots, "d"), NoSlot::Busy);
    // Granted, but gone before it was seen.
    drop(running);
    drop(leaving);
    assert!(is_granted(&mut staying).is_some());
    assert!(slots.lock().queue.is_empty());
    assert_eq!(slots.lock().held.all(), 0);
    assert!(slots.lock().by_key.is_empty());
}
