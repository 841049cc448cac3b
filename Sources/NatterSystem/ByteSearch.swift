internal import CSystem

extension ArraySlice<UInt8> {
    /// The distance from the start to the first place where a part is; nil if it is nowhere, or empty. The C library's search
    /// visits few of the bytes, other than `firstRange(of:)`.
    public func offset(ofPart part: ArraySlice<UInt8>) -> Int? {
        withUnsafeBytes { bytes in
            part.withUnsafeBytes { part in
                guard let start = bytes.baseAddress, let wanted = part.baseAddress, !part.isEmpty else { return nil }
                return natter_find(start, bytes.count, wanted, part.count).map { $0 - start }
            }
        }
    }
}
