//! Lists in which nothing may come twice.

/// The first item that is equal to an earlier one, and its position. For short lists: each is compared with all before
/// it.
#[must_use]
pub fn first_repeated<T: PartialEq>(items: &[T]) -> Option<(usize, &T)> {
    items.iter().enumerate().find(|(index, item)| items.iter().take(*index).any(|earlier| earlier == *item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_came_before_is_found() {
        assert_eq!(first_repeated(&["a", "b", "c", "b", "a"]), Some((3, &"b")));
        assert_eq!(first_repeated(&["a", "b"]), None);
        assert_eq!(first_repeated::<u8>(&[]), None);
    }
}
