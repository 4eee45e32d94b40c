// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A Merkle tree by RFC 6962's recursive definitions (2.1, 2.1.1, 2.1.2), slow and obvious: what
/// the library under test is compared with. It begins with `filler` equal leaves, whose complete
/// subtrees need no hashing of their own, so trees of a million leaves are cheap; then come real
/// leaves, whose complete subtrees are remembered.
contract TestTree {
    uint256 public immutable filler;
    uint256 public size;
    mapping(uint256 level => mapping(uint256 position => bytes32)) private _nodes;
    bytes32[41] private _fillerNodes; // by level

    constructor(uint256 filler_) {
        filler = filler_;
        size = filler_;
        _fillerNodes[0] = sha256(abi.encodePacked(bytes1(0), fillerEntry()));
        for (uint256 level = 1; level < 41; ++level) {
            _fillerNodes[level] = _node(_fillerNodes[level - 1], _fillerNodes[level - 1]);
        }
    }

    function fillerEntry() public pure returns (bytes memory entry) {
        entry = new bytes(256);
    }

    function append(bytes memory entry) external returns (uint256 position) {
        position = size++;
        uint256 place = position;
        _nodes[0][place] = sha256(abi.encodePacked(bytes1(0), entry));
        for (uint256 level = 0; place % 2 == 1; ++level) {
            place /= 2;
            _nodes[level + 1][place] =
                _node(_complete(level, 2 * place), _complete(level, 2 * place + 1));
        }
    }

    /// MTH(D[0:n]).
    function root(uint256 n) external view returns (bytes32) {
        return _root(0, n);
    }

    /// PATH(m, D[0:n]).
    function inclusionProof(uint256 m, uint256 n) external view returns (bytes32[] memory proof) {
        proof = new bytes32[](0);
        uint256 low = 0;
        uint256 high = n;
        // Downwards from the root, so every sibling goes in front of those before it.
        while (high - low > 1) {
            uint256 middle = low + _split(high - low);
            if (m < middle) {
                proof = _prepend(proof, _root(middle, high));
                high = middle;
            } else {
                proof = _prepend(proof, _root(low, middle));
                low = middle;
            }
        }
    }

    /// PROOF(m, D[0:n]).
    function consistencyProof(uint256 m, uint256 n) external view returns (bytes32[] memory proof) {
        proof = new bytes32[](0);
        if (m == 0) return proof;
        uint256 low = 0;
        uint256 high = n;
        bool complete = true;
        while (m != high - low) {
            uint256 k = _split(high - low);
            if (m <= k) {
                proof = _prepend(proof, _root(low + k, high));
                high = low + k;
            } else {
                proof = _prepend(proof, _root(low, low + k));
                low = low + k;
                m = m - k;
                complete = false;
            }
        }
        if (!complete) proof = _prepend(proof, _root(low, high));
    }

    /// The siblings of the leaves [first, first + count), level by level, left before right.
    function runProof(uint256 first, uint256 count, uint256 n)
        external
        view
        returns (bytes32[] memory proof)
    {
        proof = new bytes32[](0);
        uint256 low = first;
        uint256 high = first + count - 1;
        uint256 last = n - 1;
        for (uint256 width = 1; last != 0; width *= 2) {
            if (low % 2 == 1) proof = _append(proof, _root((low - 1) * width, low * width));
            if (high % 2 == 0 && high != last) {
                uint256 end = (high + 2) * width;
                proof = _append(proof, _root((high + 1) * width, end < n ? end : n));
            }
            (low, high, last) = (low / 2, high / 2, last / 2);
        }
    }

    /// MTH(D[low:high]).
    function _root(uint256 low, uint256 high) private view returns (bytes32) {
        uint256 n = high - low;
        if (n == 0) return sha256("");
        for (uint256 level = 0; level < 41; ++level) {
            if (n == 2 ** level && low % n == 0) return _complete(level, low / n);
        }
        uint256 middle = low + _split(n);
        return _node(_root(low, middle), _root(middle, high));
    }

    /// MTH of the complete subtree over [position * 2^level, (position + 1) * 2^level).
    function _complete(uint256 level, uint256 position) private view returns (bytes32) {
        return (position + 1) << level <= filler ? _fillerNodes[level] : _nodes[level][position];
    }

    /// The largest power of two below n.
    function _split(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    function _prepend(bytes32[] memory list, bytes32 item)
        private
        pure
        returns (bytes32[] memory longer)
    {
        longer = new bytes32[](list.length + 1);
        longer[0] = item;
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i + 1] = list[i];
        }
    }

    function _append(bytes32[] memory list, bytes32 item)
        private
        pure
        returns (bytes32[] memory longer)
    {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = item;
    }
}
