// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Wallet} from "../support/Wallet.sol";
import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IReputationRegistry} from "contracts/interfaces/IAgentRegistries.sol";
import {IdentityRegistry, ReputationRegistry} from "contracts/local/AgentRegistries.sol";
import {Test} from "forge-std/Test.sol";

/// EIP-712 types, selectors and topics are typed again here from the ERC's text.
abstract contract Registries is Test {
    Account internal wallet = makeAccount("wallet");
    address internal owner = makeAddr("owner");
    address internal operator = makeAddr("operator");
    address internal approved = makeAddr("approved");
    address internal client = makeAddr("client");
    address internal stranger = makeAddr("stranger");
    IdentityRegistry internal identities;
    ReputationRegistry internal reputations;
    uint256 internal agentId;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        identities = new IdentityRegistry();
        reputations = new ReputationRegistry(identities);
        vm.startPrank(owner);
        agentId = identities.register("ipfs://agent");
        identities.setApprovalForAll(operator, true);
        identities.approve(approved, agentId);
        vm.stopPrank();
    }

    function _unknownAgent(uint256 id) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, id);
    }
}

contract IdentityRegistryTest is Registries {
    function test_idsBeginAtZero() public {
        assertEq(agentId, 0);
        assertEq(identities.ownerOf(0), owner);
        assertEq(identities.tokenURI(0), "ipfs://agent");
        assertEq(identities.getAgentWallet(0), owner, "the owner is the first wallet");
        vm.prank(stranger);
        assertEq(identities.register(""), 1);
    }

    function test_registeringEmitsTheErcsEvents() public {
        vm.expectEmit(address(identities));
        emit IdentityRegistry.Registered(1, "ipfs://second", client);
        vm.expectEmit(address(identities));
        emit IdentityRegistry.MetadataSet(1, "agentWallet", "agentWallet", abi.encodePacked(client));
        vm.prank(client);
        identities.register("ipfs://second");
        assertEq(
            IdentityRegistry.Registered.selector, keccak256("Registered(uint256,string,address)")
        );
        assertEq(
            IdentityRegistry.MetadataSet.selector,
            keccak256("MetadataSet(uint256,string,string,bytes)")
        );
    }

    function test_anUnknownAgentHasNoWallet() public view {
        assertEq(identities.getAgentWallet(7), address(0));
    }

    function test_aTransferClearsTheWallet() public {
        vm.expectEmit(address(identities));
        emit IdentityRegistry.MetadataSet(agentId, "agentWallet", "agentWallet", "");
        vm.prank(owner);
        identities.transferFrom(owner, stranger, agentId);
        assertEq(identities.getAgentWallet(agentId), address(0));
    }

    function test_ownerAndOperatorsMayClearIt() public {
        address[3] memory allowed = [owner, operator, approved];
        for (uint256 i = 0; i < allowed.length; ++i) {
            assertTrue(identities.isAuthorizedOrOwner(allowed[i], agentId));
            _setWallet(wallet.addr, block.timestamp, "");
            assertEq(identities.getAgentWallet(agentId), wallet.addr);
            vm.prank(allowed[i]);
            identities.unsetAgentWallet(agentId);
            assertEq(identities.getAgentWallet(agentId), address(0));
        }
        assertFalse(identities.isAuthorizedOrOwner(stranger, agentId));
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IdentityRegistry.NotAuthorized.selector, agentId, stranger)
        );
        identities.unsetAgentWallet(agentId);
        vm.expectRevert(_unknownAgent(7));
        identities.unsetAgentWallet(7);
    }

    function testFuzz_aNewWalletSignsWithinFiveMinutes(uint256 delay) public {
        delay = bound(delay, 0, 5 minutes);
        _setWallet(wallet.addr, block.timestamp + delay, "");
        assertEq(identities.getAgentWallet(agentId), wallet.addr);
    }

    function test_aNewWalletMayBeAContract() public {
        Wallet contractWallet = new Wallet(wallet.addr);
        _setWallet(address(contractWallet), block.timestamp, "");
        assertEq(identities.getAgentWallet(agentId), address(contractWallet));
        contractWallet.setMode(Wallet.Mode.Refuses);
        _setWallet(
            address(contractWallet),
            block.timestamp,
            abi.encodePacked(IdentityRegistry.NotSignedByWallet.selector)
        );
    }

    function test_walletsThatAreRefused() public {
        _setWallet(
            address(0), block.timestamp, abi.encodePacked(IdentityRegistry.ZeroWallet.selector)
        );
        _setWallet(
            wallet.addr,
            block.timestamp - 1,
            abi.encodePacked(IdentityRegistry.DeadlinePassed.selector)
        );
        _setWallet(
            wallet.addr,
            block.timestamp + 5 minutes + 1,
            abi.encodePacked(IdentityRegistry.DeadlineTooFar.selector)
        );
        _setWallet(
            stranger, block.timestamp, abi.encodePacked(IdentityRegistry.NotSignedByWallet.selector)
        );

        bytes memory signature = _walletSignature(wallet.addr, block.timestamp, owner);
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IdentityRegistry.NotAuthorized.selector, agentId, stranger)
        );
        identities.setAgentWallet(agentId, wallet.addr, block.timestamp, signature);

        // What the wallet has signed for one owner is not for the next.
        vm.prank(owner);
        identities.transferFrom(owner, stranger, agentId);
        vm.prank(stranger);
        vm.expectPartialRevert(IdentityRegistry.NotSignedByWallet.selector);
        identities.setAgentWallet(agentId, wallet.addr, block.timestamp, signature);
    }

    /// By the operator; `refusal` is the first bytes of the error, empty if it succeeds.
    function _setWallet(address newWallet, uint256 deadline, bytes memory refusal) private {
        bytes memory signature = _walletSignature(newWallet, deadline, owner);
        if (refusal.length != 0) vm.expectPartialRevert(bytes4(refusal));
        vm.prank(operator);
        identities.setAgentWallet(agentId, newWallet, deadline, signature);
    }

    function _walletSignature(address newWallet, uint256 deadline, address owner_)
        private
        view
        returns (bytes memory)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("ERC8004IdentityRegistry"),
                keccak256("1"),
                block.chainid,
                address(identities)
            )
        );
        bytes32 structHash = vm.eip712HashStruct(
            "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)",
            abi.encode(agentId, newWallet, owner_, deadline)
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(wallet.key, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
        return abi.encodePacked(r, s, v);
    }
}

contract ReputationRegistryTest is Registries {
    function test_theInterfaceIsTheErcs() public view {
        assertEq(
            IReputationRegistry.giveFeedback.selector,
            bytes4(
                keccak256("giveFeedback(uint256,int128,uint8,string,string,string,string,bytes32)")
            )
        );
        assertEq(
            ReputationRegistry.NewFeedback.selector,
            keccak256(
                "NewFeedback(uint256,address,uint64,int128,uint8,string,string,string,string,string,bytes32)"
            )
        );
        assertEq(reputations.getIdentityRegistry(), address(identities));
    }

    function testFuzz_feedbackIsKeptAndAnnounced(int128 value, uint8 decimals) public {
        value = int128(bound(value, -1e38, 1e38));
        decimals = uint8(bound(decimals, 0, 18));
        vm.expectEmit(address(reputations));
        emit ReputationRegistry.NewFeedback(
            agentId,
            client,
            1,
            value,
            decimals,
            "outcomes",
            "outcomes",
            "web",
            "https://agent.example",
            "ipfs://feedback",
            keccak256("feedback")
        );
        vm.prank(client);
        reputations.giveFeedback(
            agentId,
            value,
            decimals,
            "outcomes",
            "web",
            "https://agent.example",
            "ipfs://feedback",
            keccak256("feedback")
        );
        (int128 read, uint8 readDecimals, string memory tag1, string memory tag2, bool revoked) =
            reputations.readFeedback(agentId, client, 1);
        assertEq(read, value);
        assertEq(readDecimals, decimals);
        assertEq(tag1, "outcomes");
        assertEq(tag2, "web");
        assertFalse(revoked);
    }

    function test_clientsAreListedOnceAndFeedbackCountsFromOne() public {
        _give(client, 1, 0, "a", "");
        _give(stranger, 2, 0, "a", "");
        _give(client, 3, 0, "b", "");
        address[] memory clients = reputations.getClients(agentId);
        assertEq(clients.length, 2);
        assertEq(clients[0], client);
        assertEq(clients[1], stranger);
        assertEq(reputations.getLastIndex(agentId, client), 2);
        (int128 value,,,,) = reputations.readFeedback(agentId, client, 2);
        assertEq(value, 3);

        uint64[2] memory unknown = [uint64(0), 3];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    ReputationRegistry.NoSuchFeedback.selector, agentId, client, unknown[i]
                )
            );
            reputations.readFeedback(agentId, client, unknown[i]);
        }
    }

    function test_noAgentRatesItself() public {
        address[3] memory selves = [owner, operator, approved];
        for (uint256 i = 0; i < selves.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(ReputationRegistry.SelfFeedback.selector, agentId, selves[i])
            );
            _give(selves[i], 1, 0, "", "");
        }
    }

    /// By the ERC's rule: an account that has been made an operator, wanted or not, is no client
    /// any more. An escrow that is to give feedback can be shut out like this.
    function test_anAgentCanShutAClientOut() public {
        _give(client, 1, 0, "", "");
        vm.prank(owner);
        identities.approve(client, agentId);
        vm.expectPartialRevert(ReputationRegistry.SelfFeedback.selector);
        _give(client, -1, 0, "", "");
    }

    function test_feedbackThatIsRefused() public {
        vm.expectRevert(_unknownAgent(7));
        reputations.giveFeedback(7, 1, 0, "", "", "", "", "");
        vm.expectRevert(abi.encodeWithSelector(ReputationRegistry.TooManyDecimals.selector, 19, 18));
        _give(client, 1, 19, "", "");
        int128[2] memory tooLarge = [int128(1e38) + 1, -1e38 - 1];
        for (uint256 i = 0; i < tooLarge.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    ReputationRegistry.ValueTooLarge.selector, tooLarge[i], int128(1e38)
                )
            );
            _give(client, tooLarge[i], 0, "", "");
        }
    }

    function test_theSummaryIsAnAverageInTheCommonDecimals() public {
        _give(client, 90, 0, "outcomes", "web");
        _give(client, 8050, 2, "outcomes", "app");
        _give(client, 10, 0, "other", "web");
        _give(stranger, -5025, 2, "outcomes", "web");

        _assertSummary(_clients(client, stranger), "outcomes", "", 3, 4008, 2); // 40.0833...
        _assertSummary(_clients(client, stranger), "outcomes", "web", 2, 19, 0); // 19.875, no mode
        _assertSummary(_clients(client, stranger), "", "", 4, 32, 0); // 32.5625
        _assertSummary(_clients(client), "", "web", 2, 50, 0);
        _assertSummary(_clients(stranger), "outcomes", "", 1, -5025, 2);
        _assertSummary(_clients(owner), "", "", 0, 0, 0);
        _assertSummary(_clients(client), "none", "", 0, 0, 0);

        vm.expectRevert(ReputationRegistry.NoClients.selector);
        reputations.getSummary(agentId, new address[](0), "", "");
    }

    function _assertSummary(
        address[] memory clients,
        string memory tag1,
        string memory tag2,
        uint64 count,
        int128 value,
        uint8 decimals
    ) private view {
        (uint64 got, int128 gotValue, uint8 gotDecimals) =
            reputations.getSummary(agentId, clients, tag1, tag2);
        assertEq(got, count, "count");
        assertEq(gotValue, value, "value");
        assertEq(gotDecimals, decimals, "decimals");
    }

    function _give(address by, int128 value, uint8 decimals, string memory tag1, string memory tag2)
        private
    {
        vm.prank(by);
        reputations.giveFeedback(agentId, value, decimals, tag1, tag2, "", "", "");
    }

    function _clients(address a) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function _clients(address a, address b) private pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (a, b);
    }
}
