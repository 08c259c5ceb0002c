//! Heaps as Go's package `container/heap` has them: which of equal elements is on top is the same.

/// Moves the last element up, after it was appended.
pub(super) fn up<T>(heap: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let Some(mut child) = heap.len().checked_sub(1) else {
        return;
    };
    while child > 0 {
        let parent = (child - 1) / 2;
        if !less(&heap[child], &heap[parent]) {
            return;
        }
        heap.swap(parent, child);
        child = parent;
    }
}

/// Moves the first element down, after it was changed.
pub(super) fn down<T>(heap: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let mut parent = 0;
    loop {
        let mut child = 2 * parent + 1;
        if child >= heap.len() {
            return;
        }
        if child + 1 < heap.len() && less(&heap[child + 1], &heap[child]) {
            child += 1;
        }
        if !less(&heap[child], &heap[parent]) {
            return;
        }
        heap.swap(parent, child);
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_on_top() {
        let mut heap: Vec<u32> = Vec::new();
        for number in [5, 3, 8, 1, 9, 2, 7] {
            heap.push(number);
            up(&mut heap, |a, b| a < b);
        }
        let mut sorted = Vec::new();
        while let Some(last) = heap.pop() {
            match heap.first_mut() {
                Some(first) => sorted.push(std::mem::replace(first, last)),
                None => sorted.push(last),
            }
            down(&mut heap, |a, b| a < b);
        }
        assert_eq!(sorted, [1, 2, 3, 5, 7, 8, 9]);
    }
}
