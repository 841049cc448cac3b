// The line readers of imports and of `send --ndjson`. They return each line once, in order, and none longer than the
// limit.
// with: Sources/NatterCommands/StandardInput.swift Sources/NatterDaemon/LineReader.swift
import Glibc
import NatterSystem

private let limit = 64
/// An unnamed file.
private let file: Int32 = {
    var template = Array("/tmp/natter-fuzz-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    unlink(template)
    return file
}()

/// The expected lines, computed in the simplest way.
private func expected(_ bytes: [UInt8]) -> [[UInt8]] {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { Array($0) }
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
}

private func readInput(_ lines: [[UInt8]]) {
    var input = InputLines(descriptor: file, limit: limit)
    for line in lines {
        let content = line.last == 0x0D ? Array(line.dropLast()) : line
        switch try? input.next(mayWait: true) {
        case .line(let read): require(read == content, "a line differs")
        case .tooLong:
            require(content.count > limit, "a short line is too long")
            return
        default: preconditionFailure("a line is missing")
        }
    }
    require((try? input.next(mayWait: true)) == .end, "there is one line more")
}

private func readImport(_ bytes: [UInt8], _ lines: [[UInt8]]) {
    // The first byte of the input chooses the size of the pieces.
    let most = Int(bytes.first ?? 0) + 1
    var rest = bytes[...]
    var reader = LineReader(limit: limit) { buffer in
        let piece = rest.prefix(min(most, buffer.count))
        buffer.copyBytes(from: piece)
        rest = rest.dropFirst(piece.count)
        return piece.count
    }
    for line in lines {
        do {
            let read = try reader.next { Array($0) }
            require(read == line, "a line differs")
        } catch {
            require(line.count > limit, "a short line is too long")
            return
        }
    }
    require((try? reader.next { _ in true }) == nil, "there is one line more")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = FuzzInput(start, count).bytes
    guard ftruncate(file, 0) == 0, pwrite(file, bytes, bytes.count, 0) == bytes.count else { return -1 }
    lseek(file, 0, SEEK_SET)
    let lines = expected(bytes)
    readInput(lines)
    readImport(bytes, lines)
    return 0
}
