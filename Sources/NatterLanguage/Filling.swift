/// Puts values into words: `%s` takes the next one, `%2$s` the second, `%%` is a sign.
enum Filling {
    /// A translator's mistake does no more harm than a strange sentence: a place that names no value stays empty, and any
    /// other sign as it is. (`make lint` finds both before.)
    static func fill(_ words: String, with values: [String]) -> String {
        var result: [UInt8] = []
        var next = 0
        var rest = Array(words.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), let (place, length) = place(rest) else {
                result.append(byte)
                continue
            }
            rest = rest.dropFirst(length)
            let index: Int
            switch place {
            case .sign:
                result.append(byte)
                continue
            case .next:
                index = next
                next += 1
            case .numbered(let number): index = number - 1
            }
            if values.indices.contains(index) { result += Array(values[index].utf8) }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private enum Place {
        case sign
        case next
        case numbered(Int)
    }

    /// - Parameter rest: what stands behind the sign.
    /// - Returns: the place, and its bytes behind the sign; nil if it is none.
    private static func place(_ rest: ArraySlice<UInt8>) -> (Place, Int)? {
        guard let first = rest.first else { return nil }
        if first == UInt8(ascii: "%") { return (.sign, 1) }
        if first == UInt8(ascii: "s") { return (.next, 1) }
        let digits = rest.prefix { (0x30...0x39).contains($0) }
        guard (1...2).contains(digits.count), rest.dropFirst(digits.count).starts(with: Array("$s".utf8)) else {
            return nil
        }
        return (.numbered(digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }), digits.count + 2)
    }
}
