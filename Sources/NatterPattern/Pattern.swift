internal import CPCRE2

/// A regular expression, or a plain string, to be looked for in many texts. To be used by one thread at a time.
///
/// The case of letters does not count, in any script; `^` and `$` match at each line of a text. A regular expression can
/// change both, by `(?-i)` and `(?-m)`. What one text may cost is limited, whatever the pattern is.
///
/// - SeeAlso: pcre2pattern(3).
public final class Pattern {
    /// What one attempt may cost. Texts have 64 KiB at most: a pattern that goes over one a few times stays far below.
    private enum Limit {
        static let steps: UInt32 = 1_000_000
        static let depth: UInt32 = 250_000
        static let heapKiB: UInt32 = 65_536
        static let jitStackBytes = 8 << 20
        static let patternBytes = 65_536
        /// More in one text help nobody to read it.
        static let ranges = 1_000
    }

    private let source: String
    private let code: OpaquePointer
    private let context: OpaquePointer
    private let data: OpaquePointer
    /// nil: the library's own, which is small.
    private let jitStack: OpaquePointer?

    /// - Throws: `PatternError.invalid`, `.tooLong`, or `.failed` where there is no memory.
    public convenience init(regex: String) throws(PatternError) {
        try self.init(regex, source: regex)
    }

    /// A string that is looked for anywhere in a text, within words too. Accents of Latin letters do not count, and ё is
    /// the same as е.
    public convenience init(substring: String) throws(PatternError) {
        try self.init(LetterFolding.pattern(for: substring), source: substring)
    }

    private init(_ pattern: String, source: String) throws(PatternError) {
        let noMemory = PatternError.failed(pattern: source, reason: "there is no memory")
        let code = try Pattern.compile(pattern, source: source)
        guard let context = pcre2_match_context_create_8(nil) else {
            pcre2_code_free_8(code)
            throw noMemory
        }
        // Groups do not matter: only where the whole match lies.
        guard let data = pcre2_match_data_create_8(1, nil) else {
            pcre2_match_context_free_8(context)
            pcre2_code_free_8(code)
            throw noMemory
        }
        pcre2_set_match_limit_8(context, Limit.steps)
        pcre2_set_depth_limit_8(context, Limit.depth)
        pcre2_set_heap_limit_8(context, Limit.heapKiB)
        // Where the system allows no code to be made, the pattern is interpreted.
        if pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) == 0,
            let stack = pcre2_jit_stack_create_8(32 << 10, Limit.jitStackBytes, nil)
        {
            pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
            jitStack = stack
        } else {
            jitStack = nil
        }
        (self.source, self.code, self.context, self.data) = (source, code, context, data)
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        pcre2_jit_stack_free_8(jitStack)
        pcre2_code_free_8(code)
    }

    /// Whether the pattern is somewhere in a text.
    ///
    /// - Parameter text: UTF-8.
    /// - Throws: `PatternError.runaway`; `.failed` for what is not UTF-8.
    public func matches(_ text: UnsafeRawBufferPointer) throws(PatternError) -> Bool {
        try find(in: text, from: 0, options: 0) != nil
    }

    /// Where the pattern is in a text, to show it to the reader.
    ///
    /// - Returns: ranges of the bytes of its UTF-8, none empty, in order and apart from each other; the first thousand.
    ///   None any more where looking for the next one would take too long.
    public func ranges(in text: String) -> [Range<Int>] {
        var text = text
        return text.withUTF8 { ranges(in: UnsafeRawBufferPointer($0)) }
    }

    private func ranges(in text: UnsafeRawBufferPointer) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start = 0
        while start <= text.count, found.count < Limit.ranges {
            // The first search has checked the text.
            let options = start == 0 ? 0 : PCRE2_NO_UTF_CHECK
            guard let range = (try? find(in: text, from: start, options: options)) ?? nil else { break }
            if !range.isEmpty { found.append(range) }
            start = max(range.upperBound, start)
            guard range.isEmpty else { continue }
            repeat { start += 1 } while start < text.count && text[start] & 0xC0 == 0x80
        }
        return found
    }

    private func find(
        in text: UnsafeRawBufferPointer, from start: Int, options: UInt32
    ) throws(PatternError) -> Range<Int>? {
        let code = pcre2_match_8(
            self.code, text.bindMemory(to: UInt8.self).baseAddress, text.count, start, options, data, context)
        switch code {
        case 0...:
            guard let ends = pcre2_get_ovector_pointer_8(data) else { return nil }
            return Int(clamping: min(ends[0], ends[1]))..<Int(clamping: ends[1])
        case PCRE2_ERROR_NOMATCH: return nil
        case PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_JIT_STACKLIMIT:
            throw .runaway(pattern: source)
        default: throw .failed(pattern: source, reason: Pattern.message(code))
        }
    }

    private static func compile(_ pattern: String, source: String) throws(PatternError) -> OpaquePointer {
        var pattern = pattern
        guard pattern.utf8.count <= Limit.patternBytes else {
            throw .tooLong(beginning: String(source.prefix(32)))
        }
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
        var (code, offset): (Int32, Int) = (0, 0)
        let compiled = pattern.withUTF8 { bytes in
            pcre2_compile_8(bytes.baseAddress, bytes.count, options, &code, &offset, nil)
        }
        if let compiled { return compiled }
        let characters = String(decoding: pattern.utf8.prefix(offset), as: UTF8.self).unicodeScalars.count
        throw .invalid(pattern: source, offset: characters, reason: message(code))
    }

    private static func message(_ code: Int32) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            let count = pcre2_get_error_message_8(code, buffer.baseAddress, buffer.count)
            guard count > 0 else { return "error \(code) of PCRE2" }
            return String(decoding: buffer.prefix(Int(count)), as: UTF8.self)
        }
    }
}
