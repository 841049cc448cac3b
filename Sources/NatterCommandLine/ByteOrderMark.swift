/// U+FEFF in UTF-8, which some editors write before the first line of a file. It is no part of that line.
public enum ByteOrderMark {
    public static let count = bytes.count
    private static let bytes: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// How many bytes of a first line are the mark: all of it, or none.
    public static func length(in line: ArraySlice<UInt8>) -> Int { line.starts(with: bytes) ? count : 0 }
}
