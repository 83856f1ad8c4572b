"""Addresses of the market in the API."""

from django.urls import path

from market.api import converting, estimating, history, views

app_name = "market-api"
urlpatterns = [
    path("lines", views.Lines.as_view(), name="lines"),
    path("lines/<str:slug>/index", history.Index.as_view(), name="index"),
    path("lines/<str:slug>/estimate", estimating.Estimate.as_view(), name="estimate"),
    path("estimates", estimating.Estimates.as_view(), name="estimates"),
    path("estimates/graph", estimating.GraphEstimate.as_view(), name="estimates_graph"),
    path("exchange-rates", converting.ExchangeRates.as_view(), name="exchange_rates"),
    path("exchange-rates/fit", converting.FitRate.as_view(), name="exchange_rates_fit"),
    path("convert", converting.Convert.as_view(), name="convert"),
    path("list-prices", converting.ListPrices.as_view(), name="list_prices"),
    path("products", views.Products.as_view(), name="products"),
    path("products/<str:public_id>/depth", views.ProductDepth.as_view(), name="depth"),
    path("products/<str:public_id>/trades", history.Trades.as_view(), name="trades"),
    path("products/<str:public_id>/bars", history.Bars.as_view(), name="bars"),
    path("rounds", views.Rounds.as_view(), name="rounds"),
    path("rounds/<str:number>", views.RoundDetail.as_view(), name="round"),
    path("rounds/<str:number>/orders", views.RoundOrders.as_view(), name="round_orders"),
    path("orders", views.Orders.as_view(), name="orders"),
    path("orders/batch", views.OrderBatch.as_view(), name="orders_batch"),
    path("orders/preview", views.OrderPreview.as_view(), name="order_preview"),
    path("orders/cancel", views.CancelAll.as_view(), name="orders_cancel"),
    path("orders/cancel-all-after", views.CancelAllAfter.as_view(), name="orders_cancel_all_after"),
    path("orders/<str:public_id>", views.OrderDetail.as_view(), name="order"),
    path("orders/<str:public_id>/cancel", views.CancelOrder.as_view(), name="order_cancel"),
    path("allocations", views.Allocations.as_view(), name="allocations"),
    path("allocations/<str:public_id>/cancel", views.CancelAllocation.as_view(), name="allocation_cancel"),
]
