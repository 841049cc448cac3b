internal import CSystem

extension Collection<UInt8> {
    /// The distance from the start to the first place where a part is; nil if it is nowhere. The C library's search visits few
    /// of the bytes, other than `firstRange(of:)`.
    public func offset(ofPart part: some Collection<UInt8>) -> Int? {
        let found = withContiguousStorageIfAvailable { bytes in
            part.withContiguousStorageIfAvailable { part -> Int? in
                guard let base = bytes.baseAddress else { return part.isEmpty ? 0 : nil }
                return natter_find(base, bytes.count, part.baseAddress, part.count).map { $0 - UnsafeRawPointer(base) }
            }
        }
        guard let found = found ?? nil else { return Array(self).offset(ofPart: Array(part)) }
        return found
    }
}
