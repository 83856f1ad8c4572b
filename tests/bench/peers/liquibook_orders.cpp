// Reads "side price quantity" lines, puts them one by one through Liquibook's order book, and prints
// "seconds volume lowest highest": the time of matching alone, the volume, and the range of prices it traded at.
#include <book/order.h>
#include <book/order_book.h>
#include <book/order_listener.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

namespace lb = liquibook::book;

struct Limit : lb::Order {
    bool buys;
    lb::Price limit;
    lb::Quantity quantity;
    Limit(bool b, lb::Price p, lb::Quantity q) : buys(b), limit(p), quantity(q) {}
    bool is_buy() const override { return buys; }
    lb::Price price() const override { return limit; }
    lb::Quantity order_qty() const override { return quantity; }
};

using Pointer = std::shared_ptr<Limit>;

struct Totals : lb::OrderListener<Pointer> {
    lb::Quantity volume = 0;
    lb::Price lowest = UINT64_MAX, highest = 0;
    void on_accept(const Pointer&) override {}
    void on_reject(const Pointer&, const char*) override {}
    void on_fill(const Pointer&, const Pointer&, lb::Quantity quantity, lb::Price price) override {
        volume += quantity;
        lowest = std::min(lowest, price);
        highest = std::max(highest, price);
    }
    void on_cancel(const Pointer&) override {}
    void on_cancel_reject(const Pointer&, const char*) override {}
    void on_replace(const Pointer&, const int64_t&, lb::Price) override {}
    void on_replace_reject(const Pointer&, const char*) override {}
};

int main() {
    std::vector<Pointer> orders;
    int side;
    unsigned long long price, quantity;
    while (std::cin >> side >> price >> quantity) orders.push_back(std::make_shared<Limit>(side == 0, price, quantity));
    lb::OrderBook<Pointer> book;
    Totals totals;
    book.set_order_listener(&totals);
    const auto began = std::chrono::steady_clock::now();
    for (const auto& order : orders) book.add(order);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
    std::printf("%.6f %llu %llu %llu\n", spent.count(), (unsigned long long)totals.volume,
                (unsigned long long)totals.lowest, (unsigned long long)totals.highest);
}
