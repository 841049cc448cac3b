extension Range<Int> {
    /// The first index from which on something is true, or the range's end if it never is. It must not become false again.
    @inlinable public func partitionPoint(_ isTrue: (Int) -> Bool) -> Int {
        var (low, high) = (lowerBound, upperBound)
        while low < high {
            let middle = low + (high - low) / 2
            if isTrue(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
