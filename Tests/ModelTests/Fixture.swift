import Glibc
import NatterModel
import NatterSystem

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }

    /// A number of any length in bits, so that short and long ones are met alike.
    mutating func number() -> UInt64 {
        let bits = UInt64.random(in: 0...64, using: &self)
        return bits == 0 ? 0 : next() >> (64 - bits)
    }
}

/// A directory of its own for each test, gone with the value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-model-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(operation: "make", path: "/tmp/natter-model-XXXXXX") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        let disk = PosixDisk()
        for name in (try? disk.list(path)) ?? [] {
            let inner = "\(path)/\(name)"
            if (try? disk.information(inner))??.isDirectory == true { remove(inner) } else { try? disk.remove(inner) }
        }
        rmdir(path)
    }
}

/// What a call throws; nil if it throws nothing.
func failure<Failure: Error>(_ body: () throws(Failure) -> Void) -> Failure? {
    do throws(Failure) {
        try body()
        return nil
    } catch {
        return error
    }
}
