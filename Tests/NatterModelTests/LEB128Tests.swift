import NatterModel
import Testing
import TestSupport

@Suite("LEB128 and the reader of bytes")
struct LEB128Tests {
    private func read(_ bytes: [UInt8]) -> (value: UInt64?, rest: Int) {
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            let value = reader.leb128()
            return (value, reader.remaining)
        }
    }

    /// A number with so many bytes behind it is read in one piece.
    private static let others = [UInt8](repeating: 0xAA, count: 8)

    private func encode(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        LEB128.append(value, to: &bytes)
        return bytes
    }

    @Test(
        "a number has the bytes of the format",
        arguments: [
            (0, [0x00]), (1, [0x01]), (127, [0x7F]), (128, [0x80, 0x01]), (624_485, [0xE5, 0x8E, 0x26]),
            (UInt64.max, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ] as [(UInt64, [UInt8])])
    func vectors(value: UInt64, bytes: [UInt8]) {
        #expect(encode(value) == bytes)
        #expect(read(bytes).value == value)
        #expect(read(bytes + Self.others).value == value)
    }

    @Test("a number decodes to itself, and the bytes behind it stay", arguments: UInt64(1)...200)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let value = generator.number()
        for count in [0, 2, 8] {
            let result = read(encode(value) + Self.others.prefix(count))
            #expect(result.value == value && result.rest == count)
        }
    }

    @Test("every number at the edge of a length comes back")
    func edges() {
        for shift in stride(from: UInt64(7), to: 64, by: 7) {
            for value in [(1 << shift) - 1, 1 << shift, (1 << shift) + 1] as [UInt64] {
                #expect(read(encode(value)).value == value)
                #expect(read(encode(value) + Self.others).value == value)
            }
            #expect(encode((1 << shift) - 1).count + 1 == encode(1 << shift).count)
        }
    }

    @Test(
        "one number has one form, of at most ten bytes and 64 bits",
        arguments: [
            [], [0x80], [0xFF, 0xFF], [0x80, 0x00], [0x81, 0x00], [0xFF, 0x80, 0x00],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00],
        ] as [[UInt8]])
    func refused(bytes: [UInt8]) {
        #expect(read(bytes).value == nil)
        if bytes.count > 1, bytes.last == 0 { #expect(read(bytes + Self.others).value == nil) }
    }

    @Test("whatever two bytes are accepted are the form of their number")
    func unique() {
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let result = read([first, second])
                guard let value = result.value else { continue }
                #expect(encode(value) == (result.rest == 1 ? [first] : [first, second]))
            }
        }
    }

    @Test(
        "small negative numbers stay small",
        arguments: [(0, 0), (-1, 1), (1, 2), (-2, 3), (.max, .max - 1), (.min, .max)] as [(Int64, UInt64)])
    func zigzag(value: Int64, coded: UInt64) {
        #expect(LEB128.zigzag(value) == coded)
        #expect(LEB128.unzigzag(coded) == value)
    }

    @Test("nothing is read past the end")
    func reader() {
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
        bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            #expect(reader.slice(10) == nil && reader.slice(-1) == nil && reader.slice(.max) == nil)
            #expect(reader.byte() == 1)
            #expect(reader.integer(UInt16.self) == 0x0302)
            #expect(reader.integer(UInt64.self) == nil)
            #expect(reader.integer(UInt32.self) == 0x0706_0504)
            #expect(reader.offset == 7 && reader.remaining == 2 && !reader.isAtEnd)
            #expect(reader.slice(2).map(Array.init) == [8, 9])
            #expect(reader.isAtEnd && reader.byte() == nil && reader.leb128() == nil)
            #expect(reader.slice(0)?.count == 0)
        }
    }

    @Test("integers of fixed width are little-endian")
    func fixedWidth() {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt16(0x0102))
        bytes.append(littleEndian: Int64(-2))
        #expect(bytes == [0x02, 0x01, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
    }
}
